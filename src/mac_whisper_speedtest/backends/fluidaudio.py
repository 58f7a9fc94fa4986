"""FluidAudio: NVIDIA's Parakeet through Core ML; a network of its own, not Whisper.

Its adapter is a program in Swift, ``bridges/swift/fluidaudio``; this is its description.
"""

from __future__ import annotations

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.recipe import SwiftRecipe

RECIPE = SwiftRecipe(
    name="fluidaudio",
    version="0.15.6",
    package="fluidaudio",
    product="speedtest-fluidaudio",
    revisions={"fluidaudio": "4dbf4f9f9a5ff3a53ade848d7ba4e3df13db859b"},
    size_bytes=60_000_000,
    build_bytes=3_000_000_000,
    notes=("built with Swift on a Mac with Apple silicon; the sizes are estimates",),
)

BACKEND = Backend(
    name="fluidaudio",
    weights_format="fluidaudio",
    weights_precision="palettized6",
    summary="FluidAudio: Parakeet through Core ML",
    networks=("parakeet-tdt-0.6b-v3", "parakeet-tdt-0.6b-v2"),
    devices=("ane", "gpu", "cpu"),
    fixed={
        # A transducer, decoded greedily: it has no prompt to say these in, and does not sample.
        "beam_size": 1,
        "best_of": None,
        "temperatures": None,
        "condition_on_previous_text": None,
        "task": "transcribe",
        "vad": False,
        "timestamps": True,
    },
    recipe=RECIPE,
)
