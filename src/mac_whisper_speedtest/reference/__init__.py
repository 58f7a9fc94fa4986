"""The reference pages, generated from the declarations in the code.

``python -m mac_whisper_speedtest.reference docs/reference`` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mac_whisper_speedtest import files
from mac_whisper_speedtest.reference import commands, fields, locks, models
from mac_whisper_speedtest.reference.markdown import docstring, page, table


def contents() -> str:
    """This list."""
    return page(
        "Reference",
        "What the program declares, listed.",
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
    "models.md": models.models,
    "locks.md": locks.locks,
}
"""File name → the function that returns its text."""


def write(folder: Path) -> None:
    """Write every page. Raises StorageError."""
    for name, make in PAGES.items():
        files.write_bytes(folder / name, make().encode())
