"""FluidAudio: NVIDIA's Parakeet through Core ML; not Whisper.

Its adapter is a program in Swift, ``bridges/swift/fluid-audio``; this is its description.
"""

from __future__ import annotations

from mac_whisper_speedtest.backends.backend import NO_HUB, Backend
from mac_whisper_speedtest.backends.recipe import SwiftRecipe

RECIPE = SwiftRecipe(
    name="fluidaudio",
    version="0.15.6",
    package="fluid-audio",  # SwiftPM would confuse a folder with the library's name with it
    product="speedtest-fluidaudio",
    revisions={"fluidaudio": "4dbf4f9f9a5ff3a53ade848d7ba4e3df13db859b"},
    size_bytes=60_000_000,
    build_bytes=3_000_000_000,
    notes=(
        "built with Swift on a Mac with Apple silicon; the sizes are estimates",
        "the build also fetches a binary of FluidAudio's from a release on github.com",
    ),
)

BACKEND = Backend(
    name="fluidaudio",
    weights_format="fluidaudio",
    weights_precision="palettized6",
    summary="FluidAudio: Parakeet through Core ML",
    # In the order of parakeet-mlx, so that a run of both compares one network.
    networks=("parakeet-tdt-0.6b-v2", "parakeet-tdt-0.6b-v3"),
    devices=("ane", "gpu", "cpu"),
    # The bridge goes offline first; if that fails, this address prevents a download.
    environment={"REGISTRY_URL": NO_HUB},
    fixed={
        # A transducer: it has no prompt for these, and does not sample. A language only
        # excludes tokens of other scripts.
        "language": None,
        "best_of": None,
        "temperatures": None,
        "condition_on_previous_text": None,
        "task": "transcribe",
        "beam_size": 1,
        "vad": False,
        "timestamps": True,
        "window": None,  # 14.88 s, overlapping: the contract has no name for it
        "batch_size": 1,  # four by default; the bridge requests one
    },
    auto_precision="6-bit palettized weights",
    remarks=(
        (
            "windows of 14.88 s that overlap by 2 s, merged by their tokens; long gaps in speech "
            "are decoded again"
        ),
        "the language only excludes tokens of other scripts",
    ),
    notes=(
        "Not run on a Mac yet: compiled on Linux, with declarations in place of the frameworks.",
        "Core ML chooses where it runs and does not report it; `details` has what was requested.",
        "Its encoder has one size: 1 s of speech costs as much as 15 s.",
        (
            "One window at a time, under `as-shipped` too: the library's four are reported to "
            "crash on macOS 14."
        ),
        "v3 is reported to garble tokens in some contexts (FluidAudio issue 760).",
    ),
    recipe=RECIPE,
)
