"""Measure every Whisper backend that runs on this machine, under equal work.

    import mac_whisper_speedtest as st

    results = st.run("tiny.en")
    results.to_pandas()

docs/python-api.md describes :func:`run`, :func:`load`, :func:`compare` and what they return. They
are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mac_whisper_speedtest.api.comparison import Comparison, compare
    from mac_whisper_speedtest.api.measuring import run
    from mac_whisper_speedtest.api.results import Results, load
    from mac_whisper_speedtest.errors import SpeedtestError

__version__ = "0.1.0"
__all__ = ["Comparison", "Results", "SpeedtestError", "__version__", "compare", "load", "run"]

_PLACES = {
    "Comparison": "api.comparison",
    "Results": "api.results",
    "SpeedtestError": "errors",
    "compare": "api.comparison",
    "load": "api.results",
    "run": "api.measuring",
}


if not TYPE_CHECKING:  # or every name would pass as one of this module's

    def __getattr__(name: str) -> Any:
        """The public names, when they are first asked for."""
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
