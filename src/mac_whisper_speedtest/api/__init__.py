"""What the command line can do, from Python; docs/python-api.md has examples."""

from mac_whisper_speedtest.api.comparison import Comparison, compare
from mac_whisper_speedtest.api.measuring import run
from mac_whisper_speedtest.api.results import Results, load
from mac_whisper_speedtest.errors import SpeedtestError

__all__ = ["Comparison", "Results", "SpeedtestError", "compare", "load", "run"]
