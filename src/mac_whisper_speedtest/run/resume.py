"""``--resume``: which run is gone on with, and whether it may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import msgspec

from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.results import directory, journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.assemble import end_of
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.run import changes, install, past
from mac_whisper_speedtest.run.install import Versions
from mac_whisper_speedtest.run.plan import Request
from mac_whisper_speedtest.run.prepare import Prepared, manifest

_NEW = "start a new run: leave --resume out"


@dataclass(frozen=True, slots=True)
class Decision:
    """What ``--resume`` comes to.

    Attributes:
        prepared: the request, fitted to the run that is gone on with.
        run: that run, or the one that has everything already; ``None``: a new one is begun.
        complete: whether nothing is left to measure.
        words: why, a line each, for a person.
    """

    prepared: Prepared
    run: RunDirectory | None = None
    complete: bool = False
    words: list[str] = field(default_factory=list)


def check(request: Request) -> None:
    """Refuse what can never be taken up again, before anything is recorded or decoded.

    Raises:
        UsageError: the microphone is the source.
    """
    if request.speech.records:
        raise UsageError(
            "--resume cannot go on with --mic: nobody says the same thing twice in the same way",
            hint="keep what is said with --keep-recording, and measure on it with --audio",
        )


def decide(
    prepared: Prepared,
    wanted: str | None = None,
    *,
    versions: Callable[..., Versions] = install.versions,
) -> Decision:
    """Find the run that this request goes on with.

    A run of the same request has the same options, speech, reference texts, weights, kind of
    machine, releases of the backends and tags. The newest of these that has not come to its end is
    gone on with; if there is none, the newest complete one has the answer already; if there is none
    either, a new one is begun.

    Args:
        prepared: what is asked for now.
        wanted: this run and no other.
        versions: tells which release of a backend is here.

    Raises:
        UsageError: the run ``wanted`` was asked for something else (every difference is named), or
            a tool is still writing the run.
        StorageError: a run cannot be read.
    """
    now = manifest(prepared, run=0, schedule=())
    if wanted is not None:
        return _this(directory.find(wanted), prepared, now, versions)
    complete: Decision | None = None
    refused: list[str] = []
    for run, then in _of_request(now):
        name = directory.name_of(run)
        against = _against(then, now)
        if journal.is_being_written(run.journal_path):
            if against:
                continue
            raise _still_written(name)
        if _ended(run):
            if complete is None and not changes.changes(then, now):
                complete = _complete(run, prepared)
            continue
        against = against or _other_releases(run, prepared, versions)
        if not against:
            return _going_on(run, then, now, prepared)
        refused.append(f"Run {name} is not gone on with: {'; '.join(against)}.")
    if complete is not None:
        return complete
    none = "There is no unfinished run of this request: starting a new one."
    return Decision(prepared, words=[*refused[:1], none])


def _of_request(now: s.Manifest) -> Iterator[tuple[RunDirectory, s.Manifest]]:
    """The runs that were asked for the same, newest first; those that cannot be read left out."""
    digits = now.request_sha256.encode()
    for run in reversed(directory.every()):
        try:
            data = run.manifest_path.read_bytes()
            if digits in data:  # most are of other requests, and need not be decoded
                yield run, msgspec.json.decode(data, type=s.Manifest)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            continue


def _this(
    run: RunDirectory, prepared: Prepared, now: s.Manifest, versions: Callable[..., Versions]
) -> Decision:
    """Go on with this run, or say why not."""
    name = directory.name_of(run)
    if journal.is_being_written(run.journal_path):
        raise _still_written(name)
    then = msgspec.structs.replace(run.replay().manifest, outcome=None)
    ended = _ended(run)
    against = changes.changes(then, now) if ended else _against(then, now)
    if not against and not ended:
        against = _other_releases(run, prepared, versions)
    if against:
        raise UsageError(
            f"run {name} cannot be gone on with, because this is not what it measured: "
            + "; ".join(against),
            hint=f"ask for the same again, or {_NEW}",
        )
    return _complete(run, prepared) if ended else _going_on(run, then, now, prepared)


def _against(then: s.Manifest, now: s.Manifest) -> list[str]:
    if then.schema_version != now.schema_version:
        return [f"its schema version is {then.schema_version}, and now it is {now.schema_version}"]
    return changes.changes(then, now)


def _other_releases(
    run: RunDirectory, prepared: Prepared, versions: Callable[..., Versions]
) -> list[str]:
    """Backends that were measured in another release than is here now."""
    backends = {cell.id: cell.backend for cell in prepared.cells}
    events, _damaged = journal.read(run.journal_path)
    loaded: dict[str, s.Loaded] = {}
    here: dict[str, Versions] = {}
    for event in events:
        if isinstance(event, s.Loaded):
            backend = backends[event.cell]
            loaded[backend.label] = event
            if backend.label not in here:
                here[backend.label] = versions(backend, threads=prepared.request.threads)
    return changes.versions(loaded, here)


def _complete(run: RunDirectory, prepared: Prepared) -> Decision:
    words = [f"Run {directory.name_of(run)} has measured all of this: nothing is left to do."]
    return Decision(prepared, run, complete=True, words=words)


def _going_on(run: RunDirectory, then: s.Manifest, now: s.Manifest, prepared: Prepared) -> Decision:
    there = past.of(journal.read_timed(run.journal_path))
    words = [
        f"Going on with run {directory.name_of(run)}, which has {there.samples} samples already.",
        *(f"Note that {each}." for each in changes.remarks(then, now)),
    ]
    return Decision(_fitted(prepared, then), run, words=words)


def _fitted(prepared: Prepared, then: s.Manifest) -> Prepared:
    """Without cells that were not there when the run began: its manifest knows nothing of them."""
    unknown = {plan.id for plan in then.cells if plan.weights is None}
    late = dict.fromkeys(
        unknown - prepared.unavailable.keys(),
        "was not there when this run began; a new run measures it",
    )
    return replace(prepared, unavailable=prepared.unavailable | late)


def _ended(run: RunDirectory) -> bool:
    """Whether every round of the run has been visited."""
    events, _damaged = journal.read(run.journal_path)
    ended = end_of(events)
    return ended is not None and ended.state == "complete"


def _still_written(name: str) -> UsageError:
    return UsageError(
        f"run {name} is still being measured by another speedtest",
        hint=f"wait for it, or look at it: speedtest show {name}",
    )
