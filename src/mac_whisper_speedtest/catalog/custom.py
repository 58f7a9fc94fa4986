"""Models outside the catalogue: the one way to write them, ``org/name@`` and a whole commit.

A branch or a tag can move, and a name from outside becomes part of a path, so nothing looser than
this is taken. Standard library only; the workers import this too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mac_whisper_speedtest.errors import UsageError

# What the hub itself allows in the names of accounts and repositories, and how long.
_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_LONGEST_NAME = 96
COMMIT = re.compile(r"[0-9a-f]{40}")
"""A whole commit, as git and the hub write it."""

_HOW = "write it as org/name@REVISION, with the 40 hexadecimal digits of a commit"


@dataclass(frozen=True, slots=True)
class Custom:
    """A repository of the hub at one commit.

    Attributes:
        repository: ``org/name``.
        revision: 40 lower-case hexadecimal digits.
    """

    repository: str
    revision: str

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}"

    @property
    def folder(self) -> str:
        """Its name as one part of a path, which no other model has.

        ``--`` is in no allowed name, so that it stands for the slash alone; no canonical name
        begins like this, and the longest is 151 characters.
        """
        return f"custom--{self.repository.replace('/', '--')}@{self.revision}"


def is_custom(text: str) -> bool:
    """Whether ``text`` means a model outside the catalogue; no canonical name looks like one."""
    return any(sign in text for sign in "/\\@\0")


def parse_custom(text: str) -> Custom:
    """The repository and commit that ``text`` names.

    Raises:
        UsageError: it is not ``org/name@`` and 40 lower-case hexadecimal digits.
    """
    repository, _, revision = text.partition("@")
    parts = repository.split("/")
    if len(parts) != 2 or not all(map(_allowed, parts)):
        raise UsageError(
            f"{text!r} is not a model of the catalogue, and not a repository of the hub", hint=_HOW
        )
    if len(repository) > _LONGEST_NAME:
        raise UsageError(
            f"the name of {repository[:20]}… has {len(repository)} characters, the hub allows "
            f"{_LONGEST_NAME}",
            hint=_HOW,
        )
    if not COMMIT.fullmatch(revision):
        raise UsageError(
            f"{repository} needs a whole commit as its revision, not {revision!r}",
            hint=f"{_HOW}; a branch or a tag can move",
        )
    return Custom(repository, revision)


def _allowed(part: str) -> bool:
    # "--" stands for the slash in the names of cache folders.
    return bool(_PART.fullmatch(part)) and "--" not in part and ".." not in part
