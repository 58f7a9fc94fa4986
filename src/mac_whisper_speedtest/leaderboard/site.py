"""Writing the site: all of it or nothing, and only where no other site would be lost."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mac_whisper_speedtest import files as durable
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.leaderboard import downloads, page
from mac_whisper_speedtest.leaderboard.boards import Leaderboard
from mac_whisper_speedtest.leaderboard.intake import Intake

MARKER = ".speedtest-leaderboard"
"""A file that says that this tool made the folder, and may make it anew."""

_MARK = b"Made by: speedtest leaderboard build. It replaces all files of this folder.\n"


def files(leaderboard: Leaderboard, intake: Intake) -> dict[str, bytes]:
    """The site's files by name: the same bytes for the same bundles."""
    return {
        MARKER: _MARK,
        "index.html": page.index(leaderboard, intake).encode(),
        "leaderboard.csv": downloads.to_csv(leaderboard),
        "leaderboard.json": downloads.to_json(leaderboard, intake.refused, intake.repeated),
    }


def check(target: Path) -> None:
    """See that nothing but an older site of this tool would be replaced.

    Raises:
        UsageError: something else is there.
    """
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is not a folder", hint="name another one with -o")
    there = {each.name for each in target.iterdir()}
    if there and MARKER not in there:
        raise UsageError(
            f"{target} holds something else than a leaderboard of this tool",
            hint="name a new or an empty folder with -o",
        )
    others = sorted(there - {MARKER, "index.html", "leaderboard.csv", "leaderboard.json"})
    if others:
        raise UsageError(
            f"{target} also holds {', '.join(others[:3])}, which this tool did not write",
            hint="move it elsewhere, or name another folder with -o",
        )


def write(target: Path, content: Mapping[str, bytes]) -> None:
    """Replace the site at ``target``: it is the old one or the new one, never a mixture.

    Between the two renames there is a moment without a site; what fails there is undone.

    Args:
        target: the folder.
        content: file name → bytes.

    Raises:
        UsageError: something else is there.
        StorageError: it cannot be written.
    """
    check(target)
    target = target.resolve()
    aside: Path | None = None
    try:
        with durable.staged_directory(target) as staging:
            for name, data in content.items():
                (staging / name).write_bytes(data)
            if target.is_dir():
                # Named as staging folders are, so that the next build removes what we leave.
                aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
                target.rename(aside / target.name)
    except BaseException:
        if aside is not None and (aside / target.name).is_dir() and not target.exists():
            (aside / target.name).rename(target)
        raise
    finally:
        if aside is not None and target.exists():
            shutil.rmtree(aside, ignore_errors=True)
