"""Whether there is something to record with. Nothing is recorded, and no device is named.

People's headphones and telephones carry their owner's name, so only kinds and numbers are told.
"""

from __future__ import annotations

import json
import re

from mac_whisper_speedtest.doctor.lines import Line, ok, unknown
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

_TIMEOUT_S = 8.0  # system_profiler asks every Bluetooth device
_TOPIC = "microphone"
_KIND = "coreaudio_device_type_"


def look(reader: Reader) -> list[Line]:
    """The line about microphones. None is needed for measuring."""
    if reader.macos:
        listing = ["/usr/sbin/system_profiler", "SPAudioDataType", "-json"]
        return [macos(reader.run(listing, timeout_s=_TIMEOUT_S))]
    return [linux(reader.read("/proc/asound/cards"), reader.read("/proc/asound/pcm"))]


def macos(listed: Answer) -> Line:
    """The input devices that system_profiler lists, by kind."""
    if isinstance(listed, Unknown):
        return unknown(_TOPIC, listed.reason)
    try:
        items = [item for part in json.loads(listed)["SPAudioDataType"] for item in part["_items"]]
        inputs = [item for item in items if item.get("coreaudio_device_input")]
        kinds = [
            str(item.get("coreaudio_device_transport", "?")).removeprefix(_KIND) for item in inputs
        ]
    except (ValueError, LookupError, TypeError, AttributeError):
        return unknown(_TOPIC, "system_profiler's list cannot be read")
    if not kinds:
        return ok(_TOPIC, "none; only recording needs one")
    return ok(_TOPIC, f"{len(kinds)} input{'s' * (len(kinds) > 1)} ({', '.join(kinds)})")


def linux(cards: Answer, devices: Answer) -> Line:
    """The capture devices that ALSA lists."""
    if isinstance(cards, Unknown):
        return unknown(_TOPIC, cards.reason)
    if isinstance(devices, Unknown):
        return unknown(_TOPIC, devices.reason)
    count = len(re.findall(r":\s*capture \d+", devices))
    if "no soundcards" in cards or not count:
        return ok(_TOPIC, "none; only recording needs one")
    return ok(_TOPIC, f"{count} input{'s' * (count > 1)}")
