"""Audio in: any file, or a built-in clip, as 16 kHz mono float32 with what is known about it.

``decode.decode`` is not re-exported here, because the function would hide the module.
"""

from mac_whisper_speedtest.audio.builtin import builtin_names, fetch, is_cached, load
from mac_whisper_speedtest.audio.recording import Recording, write_pcm
from mac_whisper_speedtest.audio.select import resolve

__all__ = ["Recording", "builtin_names", "fetch", "is_cached", "load", "resolve", "write_pcm"]
