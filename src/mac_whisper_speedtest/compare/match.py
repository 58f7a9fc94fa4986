"""Which cell of one run is compared with which of the other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import without_version


@dataclass(frozen=True, slots=True)
class Matched:
    """The cells of two runs.

    Attributes:
        pairs: base and new, in the order of the new run.
        only_base: cells of the base that the new run does not have.
        only_new: cells of the new run that the base does not have.
    """

    pairs: list[tuple[s.CellResult, s.CellResult]] = field(default_factory=list)
    only_base: list[s.CellResult] = field(default_factory=list)
    only_new: list[s.CellResult] = field(default_factory=list)


_Key = Callable[[s.CellResult], Hashable]


def _exact(cell: s.CellResult) -> Hashable:
    return cell.backend.name, cell.model.name, cell.clip.pcm_sha256


def _versionless(cell: s.CellResult) -> Hashable:
    return without_version(cell.backend.name), cell.model.name, cell.clip.pcm_sha256


def _any_speech(cell: s.CellResult) -> Hashable:
    return without_version(cell.backend.name), cell.model.name


def match(
    base: Sequence[s.CellResult], new: Sequence[s.CellResult], *, any_speech: bool = False
) -> Matched:
    """Pair cells of the same backend, model and speech.

    Equal names go first, version included. What is left is paired without the version, where only
    one cell on either side has that name: with two versions in one run it is ambiguous
    which one to compare. Several cells of one name (as ``speedtest noise`` makes)
    are paired in order.

    Args:
        base: cells of the base.
        new: cells of the other run.
        any_speech: also pair cells that were measured on other speech.
    """
    found: list[tuple[s.CellResult, s.CellResult]] = []
    left, right = list(base), list(new)
    steps: list[tuple[_Key, bool]] = [(_exact, True), (_versionless, False)]
    if any_speech:
        steps.append((_any_speech, False))
    for key, several in steps:
        for each in dict.fromkeys(map(key, right)):
            ours = [cell for cell in left if key(cell) == each]
            theirs = [cell for cell in right if key(cell) == each]
            if not several and max(len(ours), len(theirs)) > 1:
                continue
            for pair in zip(ours, theirs, strict=False):
                found.append(pair)
                left = [cell for cell in left if cell is not pair[0]]
                right = [cell for cell in right if cell is not pair[1]]
    place = {id(cell): number for number, cell in enumerate(new)}
    return Matched(sorted(found, key=lambda pair: place[id(pair[1])]), left, right)
