"""WhisperKit: Whisper through Core ML, on the Neural Engine, the GPU and the CPU of a Mac.

Its adapter is a program in Swift, ``bridges/swift/whisperkit``; this is its description.
"""

from __future__ import annotations

from mac_whisper_speedtest.backends.backend import NO_HUB, Backend
from mac_whisper_speedtest.backends.recipe import SwiftRecipe

RECIPE = SwiftRecipe(
    name="whisperkit",
    version="1.1.0",
    package="whisperkit",
    product="speedtest-whisperkit",
    revisions={"argmax-oss-swift": "1e2a163736dfa5a198e637ae44c114e1c6d5cc2d"},
    size_bytes=20_000_000,
    build_bytes=2_500_000_000,
    notes=("built with Swift on a Mac with Apple silicon; the sizes are estimates",),
)

BACKEND = Backend(
    name="whisperkit",
    weights_format="whisperkit",
    summary="WhisperKit: Core ML, on the Neural Engine, the GPU and the CPU",
    devices=("ane", "gpu", "cpu"),
    environment={"HF_ENDPOINT": NO_HUB},
    fixed={
        "beam_size": 1,  # it has no beam search
        "best_of": 1,  # above temperature 0 it samples once
        "condition_on_previous_text": False,  # every window starts from the same prompt
        # Unless its detector cuts the recording, which no contract of the tool requests.
        "window": "sequential-30s",
        "batch_size": 1,
    },
    shipped={"temperatures": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]},
    auto_precision="float16",
    remarks=(
        "silence is decoded: the library computes no probability of it",
        "a window's first time may be above 1 s; the next begins at its last time",
    ),
    notes=(
        "Not run on a Mac yet: compiled on Linux, with declarations in place of the frameworks.",
        "Core ML chooses where it runs and does not report it; `details` has what was requested.",
        "The first load on a Mac compiles for the Neural Engine: minutes for a large model.",
        (
            "For equal work, tokens of non-speech are suppressed and no window is abandoned early; "
            "not under `as-shipped`."
        ),
        "A window has at most 223 steps with the prompt; OpenAI's has 224 besides the prompt.",
    ),
    recipe=RECIPE,
)
