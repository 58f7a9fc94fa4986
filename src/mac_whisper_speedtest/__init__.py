"""Measure every Whisper backend that runs on this machine, under equal work.

    import mac_whisper_speedtest as st

    results = st.run("tiny.en")
    results.to_pandas()

docs/python-api.md describes :func:`run`, :func:`load`, :func:`compare` and what they return. They
are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import sys
from types import ModuleType
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
    "load": "api.results",
    "run": "api.measuring",
}


class _Package(ModuleType):
    """This package as users see it."""

    # A property, because importing anything from the room of the same name sets the attribute
    # `compare` of the package, which would hide the function. The room itself is found without.
    @property
    def compare(self) -> Any:
        """The function of that name."""
        from mac_whisper_speedtest.api.comparison import compare

        return compare

    @compare.setter
    def compare(self, room: ModuleType) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        """The other public names, when they are first asked for."""
        if name not in _PLACES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        import importlib

        return getattr(importlib.import_module(f"{self.__name__}.{_PLACES[name]}"), name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
