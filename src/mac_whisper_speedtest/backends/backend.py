"""A backend as the tool's own process sees it: data only, nothing of the library imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mac_whisper_speedtest.catalog import ModelInfo, model_info


@dataclass(frozen=True, slots=True)
class Backend:
    """Something that can be measured.

    Attributes:
        name: what people type and the tables show.
        adapter: ``module:Class`` of the Python adapter; empty for an external program.
        import_name: the module that must be importable for the backend to be usable in place.
        form: the form of weights it loads.
        weights_precision: the precision of the weights it loads.
        weights_follow_precision: whether ``--precision`` chooses the weights' precision too.
        summary: one line for ``speedtest backends list``.
        command: for an external program, its argument vector.
        cwd: for an external program, the folder it starts in; else a scratch folder.
        environment: extra variables for the worker process.
        search_path: folders put on the worker's import path before the adapter is imported.
        python: the interpreter for a Python adapter; empty for "where it is installed".
        model_paths: models the backend brings itself, by canonical name.
        source: where this description was read from.
        broken: why an installed description cannot be used; empty when it can.
    """

    name: str
    adapter: str = ""
    import_name: str = ""
    form: str = ""
    weights_precision: str = "float16"
    weights_follow_precision: bool = False
    summary: str = ""
    command: tuple[str, ...] = ()
    cwd: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    search_path: tuple[str, ...] = ()
    python: str = ""
    model_paths: Mapping[str, Path] = field(default_factory=dict)
    source: str = "built in"
    broken: str = ""

    def importable_here(self) -> bool:
        """Whether this interpreter could import the backend's library. Imports nothing."""
        if not self.import_name or self.search_path:
            return True  # what lies on another path is found out by the worker
        try:
            # Only the top-level name: looking for a.b would import a.
            return importlib.util.find_spec(self.import_name.partition(".")[0]) is not None
        except (ImportError, ValueError):
            return False

    def stored_precision(self, precision: str) -> str:
        """The precision of the weights to hand over when asked to compute in ``precision``."""
        if self.weights_follow_precision and precision != "auto":
            return precision
        return self.weights_precision

    def model_info(self, model: str) -> ModelInfo:
        """What the catalogue knows of ``model`` in the form this backend loads.

        Raises:
            UsageError: the catalogue has no such model.
        """
        return model_info(model, form=self.form, precision=self.weights_precision)
