"""Brings bundles from a fleet's storage into the store of this machine.

Nothing in a bundle is believed: each is validated, and every figure computed from its samples. A
run that is here already is one run, however often it was stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest import files
from mac_whisper_speedtest.bundle import read
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.fleet.storage import BundleName, Storage, reason_of


@dataclass(frozen=True, slots=True)
class CollectedBundles:
    """What a storage had.

    Attributes:
        folder: where the bundles are on this machine.
        bundles: files of those that are runs of the store now.
        new: how many of them this made runs.
        refused: file → why it is no run; the file stays where it is.
    """

    folder: Path
    bundles: tuple[Path, ...]
    new: int
    refused: dict[str, str]


def collect(
    address: str, names: Sequence[BundleName], folder: Path, progress: Callable[[int, int], None]
) -> CollectedBundles:
    """Import bundles, each once.

    Args:
        address: of the storage.
        names: which bundles.
        folder: of this fleet, for copies of what is not in a folder already.
        progress: called with how many have been read, and of how many.

    Raises:
        StorageError: this machine cannot write what it imports.
    """
    store = Storage(address)
    local = store.folder or folder / "bundles" / re.sub("[^A-Za-z0-9._-]+", "-", store.address)
    bundles: list[Path] = []
    refused: dict[str, str] = {}
    new = 0
    for number, name in enumerate(names, 1):
        progress(number, len(names))
        path = local / str(name)
        try:
            if not path.is_file() or files.sha256_file(path) != name.sha256:
                if store.folder is not None:
                    raise StorageError("it is damaged: its SHA-256 is not that of its name")
                path = store.fetch(name, files.private_folder(local))
        except (StorageError, OSError) as error:
            refused[str(name)] = reason_of(error)
            continue
        try:
            new += read.import_verified(path).new
        except UsageError as error:
            refused[str(name)] = error.message
        else:
            bundles.append(path)
    return CollectedBundles(local, tuple(bundles), new, refused)
