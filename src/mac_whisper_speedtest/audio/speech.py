"""What one run measures on: a recording, a set of utterances, or cuts of chosen lengths."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from mac_whisper_speedtest.audio.clip import Clip
from mac_whisper_speedtest.privacy import scrub

Kind = Literal["clip", "set", "durations"]
"""One recording; utterances that are scored as one corpus; cuts of one reading, by length."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was asked for and is not measured on, or not scored, and why.

    Attributes:
        name: of the recording, presentable.
        reason: in words, presentable.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Speech:
    """The audio of a run.

    Attributes:
        name: how tables call it; presentable, no path.
        clips: at least one; their names are unique.
        source: where it came from, for a person; never a path of this machine.
        kind: see `Kind`.
        left_out: what was asked for and cannot be measured on: a missing or damaged file, one
            without samples, samples that are not finite.
        unscored: what is measured but has no say in accuracy although a text was meant to be there.
    """

    name: str
    clips: tuple[Clip, ...]
    source: str
    kind: Kind
    left_out: tuple[LeftOut, ...] = ()
    unscored: tuple[LeftOut, ...] = ()

    def __post_init__(self) -> None:
        """Check the shape of the set.

        Raises:
            ValueError: no clips, two of one name, or several in a "clip".
        """
        names = [clip.name for clip in self.clips]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"clips must be there and have names of their own, not {names}")
        if self.kind == "clip" and len(names) > 1:
            raise ValueError(f"{len(names)} clips are a set")

    @property
    def seconds(self) -> float:
        """Duration of all clips together."""
        return sum(clip.seconds for clip in self.clips)

    @property
    def language(self) -> str | None:
        """The language of all clips; None when it differs or is not known of any one."""
        spoken = {clip.language for clip in self.clips}
        return spoken.pop() if len(spoken) == 1 else None

    @cached_property
    def pcm_sha256(self) -> str:
        """What was fed to backends, in one hash.

        For one clip its own. For more, SHA-256 over one line ``name pcm_sha256`` for each, sorted
        and ended by newlines, so that neither order nor folder matters.
        """
        if self.kind == "clip":
            return self.clips[0].pcm_sha256
        lines = sorted(f"{clip.name} {clip.pcm_sha256}\n" for clip in self.clips)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def presentable(name: str) -> str:
    """``name`` as it may stand in tables and results: no user names, no line breaks."""
    printable = "".join(letter if letter.isprintable() else " " for letter in scrub(name))
    return " ".join(printable.split()) or "unnamed"


def unused(name: str, taken: Collection[str]) -> str:
    """``name``, or where it is taken ``name#2``, or whatever number comes next."""
    number, chosen = 1, name
    while chosen in taken:
        number += 1
        chosen = f"{name}#{number}"
    return chosen
