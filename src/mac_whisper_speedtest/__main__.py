"""``python -m mac_whisper_speedtest`` is the same as ``speedtest``."""

import sys

from mac_whisper_speedtest.cli import main

sys.exit(main())
