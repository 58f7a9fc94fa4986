"""The numbers of runs: each is given once, to one tool, and never again.

The folder that carries a number is the claim to it. What was removed is remembered by a mark beside
the folders, ``.last-000042``: an empty file whose name says it, so that nobody has to read a mark
before writing a higher one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from mac_whisper_speedtest import files

_MARK = ".last-"


def name(number: int) -> str:
    """The folder's name: at least six digits."""
    return f"{number:06d}"


def is_number(text: str) -> bool:
    """Whether ``text`` is a number as a person or a folder may have it."""
    return text.isascii() and text.isdigit()


def listed(root: Path) -> list[int]:
    """The numbers of the folders in ``root``, in order; none where there is no ``root``.

    Raises:
        OSError: it cannot be read.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(int(each.name) for each in root.iterdir() if is_number(each.name))
    return []


def claim(root: Path) -> Path:
    """Make the folder of the next number; two tools at once get two numbers.

    Raises:
        OSError: it cannot be made.
    """
    root.mkdir(parents=True, exist_ok=True)
    # The folders first: what is retired in between is then seen in one of the two.
    number = max([*listed(root), *_marks(root)], default=0)
    while True:
        number += 1
        path = root / name(number)
        try:
            path.mkdir()
        except FileExistsError:
            continue
        files.fsync_dir(root)
        return path


def retire(root: Path, number: int) -> None:
    """See to it that neither ``number`` nor a lower one is claimed again.

    Raises:
        OSError: it cannot be written down.
    """
    (root / f"{_MARK}{name(number)}").touch()
    files.fsync_dir(root)
    for lower in sorted(_marks(root))[:-1]:
        (root / f"{_MARK}{name(lower)}").unlink(missing_ok=True)


def _marks(root: Path) -> list[int]:
    found = (each.name.removeprefix(_MARK) for each in root.glob(f"{_MARK}*"))
    return [int(each) for each in found if is_number(each)]
