"""Where the Hugging Face cache is and how it is laid out. Imports nothing of huggingface-hub.

``huggingface_hub.constants`` has the same paths, but its import takes a tenth of a second and more,
which is most of the time allowed for checking every backend and model. A test compares the two.

The layout, of a repository ``org/name`` under `cache_dir`::

    models--org--name/refs/main                    the last known commit of a branch
    models--org--name/snapshots/COMMIT/FILE        a link to ../../blobs/ETAG
    models--org--name/blobs/ETAG                   a large file's SHA-256, else the git SHA-1
    models--org--name/blobs/ETAG.incomplete        while it is being fetched
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest import catalog, paths
from mac_whisper_speedtest.catalog import COMMIT

DEFAULT_BRANCH = "main"
"""The revision that libraries load by default."""


def cache_dir() -> Path:
    """The cache's root: ``HF_HUB_CACHE``, else ``hub`` in ``HF_HOME``, else the user's cache."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if configured := os.environ.get(name):
            return _expanded(configured)
    if home := os.environ.get("HF_HOME"):
        return _expanded(home) / "hub"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return _expanded(cache) / "huggingface" / "hub"


def repository_dir(repository: str) -> Path:
    """The folder of ``org/name`` in the cache, whether it exists or not."""
    return cache_dir() / f"models--{repository.replace('/', '--')}"


def snapshot_dir(repository: str, revision: str) -> Path:
    """The folder with the files of one commit, whether it exists or not."""
    return repository_dir(repository) / "snapshots" / revision


def branch_file(repository: str) -> Path:
    """The file in which the cache keeps the commit of the default branch."""
    return repository_dir(repository) / "refs" / DEFAULT_BRANCH


def branch_commit(repository: str) -> str | None:
    """The cached commit of the default branch, or ``None``.

    The content of a file in the cache becomes part of paths, so only a full commit is accepted.
    """
    try:
        commit = branch_file(repository).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return commit if COMMIT.fullmatch(commit) else None


def free_bytes() -> int:
    """Free space on the disk that the cache is on, or would be.

    Raises:
        OSError: the system does not report it.
    """
    place = cache_dir()
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


# Names in the tool's own folder of weights: ``weights/MODEL/FORMAT-PRECISION-KEY``, made by
# `locations`. Nothing removes a folder with any other name.

_NAME = re.compile(r"(?P<what>.+)-(?P<precision>[a-z0-9_]+)-(?P<key>[0-9a-f]{16})")
_PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class Stored:
    """One folder of weights, as its name describes it.

    Attributes:
        format: of the weights.
        precision: of the conversion; empty if they are as published.
        key: the beginning of the SHA-256 of their source, or of themselves; for
            files that were put together, `catalog.HostedWeights.key`.
    """

    format: str
    precision: str
    key: str

    def __str__(self) -> str:
        return f"{self.format} {self.precision}, converted" if self.precision else self.format


def root() -> Path:
    """The folder of all of the tool's own weights."""
    return paths.cache_dir() / "weights"


def parse(name: str) -> Stored | None:
    """Parse a folder's name; ``None`` if this tool does not make such names."""
    found = _NAME.fullmatch(name)
    if found is None or found["what"] not in catalog.weights_formats():
        return None
    precision = found["precision"]
    return Stored(found["what"], "" if precision == _PUBLISHED else precision, found["key"])


def staged_for(name: str) -> str:
    """The final name of an unfinished or half-removed folder; empty if it is neither.

    Both `files.staged_directory` and a removal call it ``.FOLDER.`` and one word more.
    """
    return name[1:].rpartition(".")[0] if name.startswith(".") else ""


def is_pinned(model: str, stored: Stored) -> bool:
    """Whether this version's catalog still uses that folder."""
    if catalog.weights_formats()[stored.format].extends:
        key = catalog.model_info(model, stored.format, stored.precision).source_key
        return bool(key) and key.startswith(stored.key)
    rows = catalog.hosted_by_model().get(model, ())
    if any(row.format == stored.format and row.key == stored.key for row in rows):
        return True
    weights_format = stored.format if not stored.precision else catalog.SOURCE_FORMAT
    return any(
        row.main_file is not None and (row.main_file.sha256 or "").startswith(stored.key)
        for row in rows
        if row.format == weights_format
    )
