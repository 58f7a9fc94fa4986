"""What the names in the tool's own folder of weights mean: ``weights/NETWORK/FORM-PRECISION-KEY``.

`places` makes those names; here they are read back. A name that means nothing here is none of the
tool's own, and is left alone by everything that removes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest import catalog, paths

_NAME = re.compile(r"(?P<what>.+)-(?P<precision>[a-z0-9_]+)-(?P<key>[0-9a-f]{16})")
_PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class Stored:
    """One folder of weights, as its name describes it.

    Attributes:
        form: of the weights.
        precision: what they were converted to; empty when they are as published.
        key: the beginning of the SHA-256 of the file they were made from, or of their own.
    """

    form: str
    precision: str
    key: str

    def __str__(self) -> str:
        return f"{self.form} {self.precision}, converted" if self.precision else f"{self.form}"


def root() -> Path:
    """The folder that all of the tool's own weights are in."""
    return paths.cache_dir() / "weights"


def parse(name: str) -> Stored | None:
    """What a folder's name says; ``None`` if it is not a name that this tool gives."""
    found = _NAME.fullmatch(name)
    if found is None or found["what"] not in catalog.forms():
        return None
    precision = found["precision"]
    return Stored(found["what"], "" if precision == _PUBLISHED else precision, found["key"])


def staged_for(name: str) -> str:
    """The folder that something unfinished was to become, or had been; empty if it is none.

    Both `durable.staged_directory` and a removal call it ``.FOLDER.`` and one word more.
    """
    return name[1:].rpartition(".")[0] if name.startswith(".") else ""


def is_pinned(network: str, stored: Stored) -> bool:
    """Whether the catalogue of this version of the tool still leads to that folder."""
    form = stored.form if not stored.precision else catalog.SOURCE_FORM
    return any(
        row.main_file is not None and (row.main_file.sha256 or "").startswith(stored.key)
        for row in catalog.publications()
        if (row.network, row.form) == (network, form)
    )
