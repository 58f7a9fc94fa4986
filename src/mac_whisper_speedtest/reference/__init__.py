"""The reference pages, generated from the declarations in the code.

``python -m mac_whisper_speedtest.reference docs/reference`` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mac_whisper_speedtest import files
from mac_whisper_speedtest.reference import backends, commands, fields, locks, models, weights
from mac_whisper_speedtest.reference.markdown import docstring, page, table


def contents() -> str:
    """This list."""
    return page(
        "Reference",
        "Words such as cell, round and contract are in the [glossary](../glossary.md).",
        table(
            ("page", "what it has"),
            ([f"[{name}]({name})", docstring(make)] for name, make in PAGES.items()),
        ),
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "README.md": contents,
    "commands.md": commands.commands,
    "run-options.md": commands.run_options,
    "exit-codes.md": commands.exit_codes,
    "results.md": fields.results,
    "columns.md": fields.columns,
    "index.md": fields.index,
    "bundles.md": fields.bundles,
    "compare.md": fields.comparison,
    "backends.md": backends.backends,
    "backend-description.md": backends.descriptions,
    "models.md": models.models,
    "weights.md": weights.weights,
    "json.md": weights.printed,
    "locks.md": locks.locks,
}
"""File name → the function that returns its text."""


def write(folder: Path) -> None:
    """Write every page. Raises StorageError."""
    for name, make in PAGES.items():
        files.write_bytes(folder / name, make().encode())
