"""Apple's SpeechTranscriber: networks that are a part of macOS 26, one for each locale.

Their adapter is a program in Swift, ``bridges/swift/apple-speech``; these are its descriptions.
Final results and progressive results are different work, so one program has two backends.
"""

from __future__ import annotations

from dataclasses import replace

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.recipe import SwiftRecipe

FORMAT = "apple-speech"

NETWORKS = tuple(
    f"{FORMAT}-{locale}"
    for locale in (
        *("en-us", "en-gb", "de-de", "fr-fr", "es-es"),
        *("it-it", "pt-br", "ja-jp", "ko-kr", "zh-cn"),
    )
)

RECIPE = SwiftRecipe(
    name="apple-speech",
    version="26",  # of macOS; the worker reports the system's build
    package="apple-speech",
    product="speedtest-apple-speech",
    swift="6.2",
    macos="26",
    sdk="26",
    size_bytes=2_000_000,
    build_bytes=300_000_000,
    notes=(
        "built with Swift on a Mac with Apple silicon; the sizes are estimates",
        "macOS keeps the networks: speedtest models pull apple-speech-en-us",
        "computes in a process of macOS: memory and processor time of the worker exclude it",
    ),
)

BACKEND = Backend(
    name="apple-speech",
    arguments=("--results", "final"),
    weights_format=FORMAT,
    weights_precision="unstated",
    summary="SpeechTranscriber of macOS 26 (not Whisper), final results only",
    networks=NETWORKS,
    fixed={
        "task": "transcribe",
        # Apple documents neither the search nor how it divides a recording.
        "beam_size": None,
        "best_of": None,
        "temperatures": None,
        "condition_on_previous_text": None,
        "vad": None,
        "window": None,
        "batch_size": None,
    },
    shipped={
        "language": None,  # the network's
        "timestamps": False,
    },
    auto_precision="not known",
    remarks=(
        (
            "macOS computes in another process: memory and processor time of the worker do not "
            "include it"
        ),
    ),
    notes=(
        "Not run on a Mac yet: compiled on Linux, with declarations in place of the frameworks.",
        (
            "How it searches and divides a recording is not documented; `--device` and "
            "`--precision` are refused. Virtual machines have no transcriber."
        ),
        (
            "A Whisper model in another language than English needs the name of that language's "
            "network, such as `-m apple-speech-de-de`."
        ),
        (
            "A machine has five reservations of locales, for all programs, and they outlive a "
            "killed one. `models pull` takes one, `models remove` releases it."
        ),
    ),
    recipe=RECIPE,
)

PROGRESSIVE = replace(
    BACKEND,
    name="apple-speech-progressive",
    arguments=("--results", "progressive"),
    summary="the same with tentative results first: sooner, from a smaller context",
    fixed={**BACKEND.fixed, "window": "progressive"},
    remarks=(*BACKEND.remarks, "smaller context, to answer sooner"),
)
