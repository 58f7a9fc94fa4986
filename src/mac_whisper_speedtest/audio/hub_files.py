"""Files of one kind out of a dataset on the Hugging Face hub, whatever else it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mac_whisper_speedtest.audio.datasets import Dataset
from mac_whisper_speedtest.audio.hub_dataset import bring_files, listing, wanted_file
from mac_whisper_speedtest.errors import UsageError


def bring(
    dataset: Dataset,
    ending: str,
    *,
    announce: Callable[[str], None],
    allow_download: bool,
) -> list[Path]:
    """Have every file whose name ends so; what is here already is not asked for again.

    Args:
        dataset: pinned to a commit; its ``split`` is a folder, empty for all of it.
        ending: such as ``.zip``.
        announce: told before anything is downloaded.
        allow_download: whether it may be.

    Returns:
        Where they lie, in order of their names.

    Raises:
        UsageError: it has no such file.
        DownloadError: it is not here and may not be, or cannot be, downloaded.
        StorageError: the cache cannot be written.
    """
    files = listing(dataset, announce=announce, allow_download=allow_download)
    within = f"{dataset.split}/" if dataset.split else ""
    wanted = [
        wanted_file(dataset, file)
        for name, file in sorted(files.items())
        if name.startswith(within) and name.lower().endswith(ending)
    ]
    if not wanted:
        where = f" in {dataset.split}" if dataset.split else ""
        raise UsageError(
            f"{dataset.name} has no {ending} file{where}",
            hint="check its name and revision, and the folder after them",
        )
    bring_files(dataset, wanted, announce=announce, allow_download=allow_download)
    return [each.path for each in wanted]
