"""The reference pages, generated from the declarations in the code.

``python -m mac_whisper_speedtest.reference docs/reference`` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mac_whisper_speedtest import files
from mac_whisper_speedtest.cli import progress
from mac_whisper_speedtest.reference import (
    backends,
    commands,
    fields,
    folders,
    locks,
    models,
    protocol,
    weights,
    words,
)
from mac_whisper_speedtest.reference.markdown import docstring, page, table
from mac_whisper_speedtest.worker import schema


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


def protocol_schema() -> str:
    """JSON Schema of the messages between the tool and a worker."""
    return _json(schema.document())


def logs_schema() -> str:
    """JSON Schema of a line of ``--json-logs``."""
    return _json(progress.document())


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "README.md": contents,
    "commands.md": commands.commands,
    "run-options.md": commands.run_options,
    "exit-codes.md": commands.exit_codes,
    "results.md": fields.results,
    "words.md": words.in_results,
    "json-logs.md": words.logs,
    "columns.md": fields.columns,
    "index.md": fields.index,
    "folders.md": folders.folders,
    "bundles.md": fields.bundles,
    "compare.md": fields.comparison,
    "backends.md": backends.backends,
    "backend-description.md": backends.descriptions,
    "models.md": models.models,
    "protocol.md": protocol.protocol,
    "weights.md": weights.weights,
    "json.md": weights.printed,
    "doctor.md": weights.doctor,
    "locks.md": locks.locks,
    "protocol.schema.json": protocol_schema,
    "json-logs.schema.json": logs_schema,
}
"""File name → the function that returns its text."""


def write(folder: Path) -> None:
    """Write every page. Raises StorageError."""
    for name, make in PAGES.items():
        files.write_bytes(folder / name, make().encode())
