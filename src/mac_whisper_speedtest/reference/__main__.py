"""Writes the reference pages into the folder that is named."""

from __future__ import annotations

import sys
from pathlib import Path

from mac_whisper_speedtest.reference import write

write(Path(sys.argv[1]))
