"""The Swift frameworks whose weights can be checked here, though nothing measures them yet.

Descriptions only: they are no entry points, and a backend of the same name takes their place.
"""

from __future__ import annotations

from mac_whisper_speedtest.backends.backend import Backend

NO_BRIDGE = "its Swift bridge is not part of this release, so nothing here can load it"

FRAMEWORKS: dict[str, Backend] = {
    "whisperkit": Backend(
        name="whisperkit",
        form="whisperkit",
        summary="WhisperKit: Core ML, on the Neural Engine, the GPU and the CPU",
        devices=("ane", "metal", "cpu"),
        broken=NO_BRIDGE,
    ),
    "fluidaudio": Backend(
        name="fluidaudio",
        form="fluidaudio",
        weights_precision="palettised6",
        summary="FluidAudio: Parakeet through Core ML",
        networks=("parakeet-tdt-0.6b-v3", "parakeet-tdt-0.6b-v2"),
        devices=("ane", "cpu"),
        broken=NO_BRIDGE,
    ),
}
