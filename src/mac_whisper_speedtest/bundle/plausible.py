"""Whether a manifest and a journal can be what a run wrote: everything that no honest one has.

Pure. What is refused here would break a figure, fake one beyond belief, or do something to whoever
shows it. What an honest but broken backend may do (a clock that is wrong, times out of order) is
let through: findings say that beside the number.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterable

from mac_whisper_speedtest.bundle.bounds import check_numbers, check_texts
from mac_whisper_speedtest.bundle.container import BundleError
from mac_whisper_speedtest.bundle.pseudonyms import PSEUDONYM
from mac_whisper_speedtest.bundle.unsafe_text import shown
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.summary import samples

FASTEST_RTFX = 1e6
"""Times real time: an hour of audio in 3.6 ms. The fastest that is known are near 10 000."""
MOST_CELLS, MOST_RECORDINGS, MOST_ROUNDS = 500, 200_000, 100_000
LONGEST_NAME = 300
"""Letters. An id has three names."""
STATUSES = frozenset(
    {"ok", "failed", "timeout", "crashed", "out_of_memory", "protocol_violation", "unavailable"}
    | {"skipped"}
)
STATES = frozenset({"complete", "stopped", "interrupted"})
_KINDS = {"clip", "set", "durations"}
_RATE = 16000
_HASH = re.compile(r"[0-9a-f]{64}")
_RUN_ID = re.compile(r"[0-9a-f]{32}")


def check_manifest(manifest: s.Manifest) -> None:
    """Refuse a manifest that no run has written.

    Raises:
        BundleError: says why.
    """
    _demand(
        1 <= manifest.schema_version <= s.SCHEMA_VERSION,
        f"it has schema version {manifest.schema_version}; this tool reads 1 to {s.SCHEMA_VERSION}",
    )
    _demand(
        _RUN_ID.fullmatch(manifest.run_id),
        f"the run's id is {shown(manifest.run_id)}, not 32 hexadecimal digits",
    )
    _demand(manifest.cells, "the run has no cells")
    _at_most("cells", len(manifest.cells), MOST_CELLS)
    _at_most("clips", len(manifest.clips), MOST_CELLS)
    _at_most("rounds", len(manifest.schedule), MOST_ROUNDS)
    check_numbers(manifest, "the manifest")
    check_texts(manifest, "the manifest")
    for clip in manifest.clips:
        _check_clip(clip)
    clips = [clip.name for clip in manifest.clips]
    ids = [plan.id for plan in manifest.cells]
    _unique("clips", clips)
    _unique("cells", ids)
    for plan in manifest.cells:
        _demand(
            plan.clip in clips, f"{shown(plan.id)} is on {shown(plan.clip)}, which is no clip of it"
        )
        for name in (plan.id, plan.backend, plan.model):
            _check_name(name)
    known = set(ids)
    for name in (name for visit in manifest.schedule for name in visit):
        _demand(name in known, f"the schedule has {shown(name)}, which is no cell of the run")


def _check_clip(clip: s.ClipInfo) -> None:
    _check_name(clip.name)
    _demand(clip.kind in _KINDS, f"a clip is of the kind {shown(clip.kind)}")
    _at_most("recordings", len(clip.utterances), MOST_RECORDINGS)
    _demand(_HASH.fullmatch(clip.pcm_sha256), f"{shown(clip.pcm_sha256)} is no SHA-256")
    for each in samples.recordings(clip):
        name = each.name or clip.name
        _demand(_HASH.fullmatch(each.pcm_sha256), f"{shown(each.pcm_sha256)} is no SHA-256")
        _demand(each.samples > 0, f"{shown(name)} has {each.samples} samples")
        _demand(
            abs(each.seconds - each.samples / _RATE) <= 1 / _RATE,
            f"{shown(name)} is said to last {each.seconds:g} s and has {each.samples} samples, "
            f"which are {each.samples / _RATE:g} s",
        )
    if not clip.utterances:
        return
    names = [each.name for each in clip.utterances]
    _unique("recordings", names)
    for name in names:
        _check_name(name)
    seconds = math.fsum(each.seconds for each in clip.utterances)
    _demand(
        math.isclose(clip.seconds, seconds, rel_tol=1e-6)
        and clip.samples == sum(each.samples for each in clip.utterances),
        f"{shown(clip.name)} is said to last {clip.seconds:g} s, its recordings last {seconds:g} s",
    )
    if not any(PSEUDONYM.fullmatch(name) for name in names):
        lines = sorted(f"{each.name} {each.pcm_sha256}\n" for each in clip.utterances)
        _demand(
            hashlib.sha256("".join(lines).encode()).hexdigest() == clip.pcm_sha256,
            f"the hash of {shown(clip.name)} is not that of its recordings",
        )


class Witness:
    """Looks at a journal's events one by one, as they would have happened.

    Args:
        manifest: what they belong to, which was found to be sound.
    """

    def __init__(self, manifest: s.Manifest) -> None:
        clips = {clip.name: clip for clip in manifest.clips}
        self._lengths = {
            plan.id: {each.name: each.seconds for each in samples.recordings(clips[plan.clip])}
            for plan in manifest.cells
        }
        self._transcribed: defaultdict[tuple[str, int, int], float] = defaultdict(float)

    def look(self, event: s.Event, where: str) -> None:
        """Refuse an event that cannot have happened in this run.

        Raises:
            BundleError: says why.
        """
        cell = getattr(event, "cell", None)
        if cell is not None and cell not in self._lengths:
            raise BundleError(f"{where} is of {shown(cell)}, which is no cell of the run")
        check_numbers(event, where)
        match event:
            case s.Sample():
                self._sample(event, where)
            case s.Metered():
                self._meters(event, where)
            case s.WorkerEnded() | s.RoundSkipped():
                _demand(event.status in STATUSES, f"{where} ended {shown(event.status)}")
            case s.Decided():
                unknown = [name for name in event.cells if name not in self._lengths]
                _demand(not unknown, f"{where} has {shown(unknown)}, no cells of the run")
                _demand(0 < event.level < 1, f"{where} has intervals at {event.level:g}")
            case s.RunEnded():
                _demand(event.state in STATES, f"{where} ended {shown(event.state)}")
            case _:
                pass

    def _sample(self, sample: s.Sample, where: str) -> None:
        audio_s = self._lengths[sample.cell].get(sample.utterance)
        if audio_s is None:
            raise BundleError(
                f"{where} is of {shown(sample.utterance)}, which is no recording of its clip"
            )
        if sample.kind not in {"warmup", "timed"}:
            raise BundleError(f"{where} is a sample of kind {shown(sample.kind)}")
        if sample.failed:
            _demand(not sample.text, f"{where} failed, and has a text")
            return
        if sample.seconds * FASTEST_RTFX < audio_s:
            raise BundleError(
                f"{where} has {audio_s:g} s of audio in {sample.seconds:g} s, which no machine does"
            )
        if sample.kind == "timed":
            self._transcribed[sample.cell, sample.round, sample.attempt] += audio_s

    def _meters(self, meter: s.Metered, where: str) -> None:
        there = self._transcribed[meter.cell, meter.round, meter.attempt]
        _demand(
            meter.audio_s <= there * (1 + 1e-6),
            f"{where} metered {meter.audio_s:g} s of audio, and the samples before it have "
            f"{there:g} s",
        )


def _check_name(name: str) -> None:
    _demand(
        0 < len(name) <= LONGEST_NAME and name.isprintable(),
        f"the name {shown(name)} is empty, too long, or not printable",
    )


def _at_most(what: str, there: int, most: int) -> None:
    _demand(there <= most, f"it has {there} {what}; at most {most} are read")


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        _demand(name not in seen, f"two {what} are called {shown(name)}")
        seen.add(name)


def _demand(holds: object, otherwise: str) -> None:
    if not holds:
        raise BundleError(otherwise)
