"""whisper.cpp with its encoder in Core ML: the same library, built from source on the Mac."""

from __future__ import annotations

from dataclasses import replace

from mac_whisper_speedtest.backends import whisper_cpp as plain
from mac_whisper_speedtest.backends.recipe import APPLE_SILICON, Recipe

BACKEND = replace(
    plain.BACKEND,
    name="whisper.cpp-coreml",
    weights_format="ggml-coreml",
    summary="whisper.cpp with its encoder in Core ML (Neural Engine), the rest on Metal",
    # whisper.cpp loads the encoder if it is present, and lets Core ML choose its device.
    devices=("coreml",),
    compiles_shapes_on=("coreml",),
    auto_precision="float16 in the encoder, the rest as the file is stored: float16",
    notes=(
        (
            "Core ML chooses between Neural Engine, GPU and CPU. The device is `coreml` if the log "
            "reports that Core ML was loaded, else the encoder's device, with a finding."
        ),
        "The first load on a Mac compiles the encoder: seconds for tiny, minutes for large.",
        "The encoder is float16, for any precision of the file.",
    ),
    # A pywhispercpp installed beside the tool has no Core ML.
    managed=True,
    recipe=Recipe(
        name="whisper.cpp-coreml",
        distribution="pywhispercpp",
        version="1.5.1",  # the same as plain whisper.cpp
        requirements=("cmake>=3.12", "ninja", "setuptools>=42", "setuptools-scm>=8", "wheel"),
        build={
            "WHISPER_COREML": "1",
            # Without it a bundle that cannot be loaded ends the process (SIGSEGV).
            "WHISPER_COREML_ALLOW_FALLBACK": "1",
            # As in the wheels of plain whisper.cpp, so that only the encoder differs.
            "GGML_NATIVE": "OFF",
            # Libraries find each other in the installation, not in the build folder.
            "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
            "CMAKE_INSTALL_RPATH": "@loader_path",
        },
        platforms=(APPLE_SILICON,),
        size_bytes=250_000_000,
        notes=(
            "built from source with the Command Line Tools of Xcode, which takes minutes",
            "not run on a Mac: the build was tried on Linux, without Core ML",
        ),
    ),
)
