"""``--resume``: which run is resumed, and whether it can be."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.results import comparable, directory, journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.assemble import end_of
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import TimedEvent
from mac_whisper_speedtest.run import install
from mac_whisper_speedtest.run.install import Versions
from mac_whisper_speedtest.run.prepare import Prepared, manifest
from mac_whisper_speedtest.run.task import SampleKey
from mac_whisper_speedtest.run.warmup import enough_by_cell

# What the run has measured already: a pure function of its journal.

Visit = tuple[str, int]
"""A cell's id and the number of a round."""


@dataclass(slots=True)
class RoundProgress:
    """The progress of one cell's round.

    Attributes:
        attempts: workers that were started for it.
        taken: finished samples, and whether each is a failure.
        ended: whether the run is complete.
    """

    attempts: int = 0
    taken: dict[SampleKey, bool] = field(default_factory=dict)
    ended: bool = False

    @property
    def crashed_on(self) -> frozenset[str]:
        """Recordings that failed: the warm-up does not use them."""
        return frozenset(name for (name, _), failed in self.taken.items() if failed)


@dataclass(frozen=True, slots=True)
class ResumeState:
    """The results of earlier sessions of a run; empty for a new run.

    Attributes:
        visits: progress by cell and round.
        spent_s: cell → seconds that its workers took, from start to end.
        replaced_by: round → the round that replaces it.
        decided: number of rounds done → the stopping rule's latest decision then.
        enough_calls: cell → the number of warm-up calls that sufficed in one of its processes.
        elapsed_s: seconds of all sessions together.
    """

    visits: Mapping[Visit, RoundProgress] = field(default_factory=dict)
    spent_s: Mapping[str, float] = field(default_factory=dict)
    replaced_by: Mapping[int, int] = field(default_factory=dict)
    decided: Mapping[int, s.DecisionResult] = field(default_factory=dict)
    enough_calls: Mapping[str, int] = field(default_factory=dict)
    elapsed_s: float = 0.0

    def visit(self, cell: str, number: int) -> RoundProgress:
        """The progress of a cell's round."""
        return self.visits.get((cell, number), RoundProgress())

    def begun(self, number: int) -> bool:
        """Whether a round has begun."""
        return any(each == number for _, each in self.visits)

    @property
    def samples(self) -> int:
        """Timed samples that are kept."""
        return sum(len(each.taken) for each in self.visits.values())

    def rounds_of(self, cell: str) -> int:
        """Number of rounds in which the cell had a worker."""
        return sum(name == cell and each.attempts > 0 for (name, _), each in self.visits.items())

    def passes_of(self, cell: str, recordings: int) -> int:
        """Number of complete passes of the cell over all ``recordings``."""
        found = 0
        for (name, _), each in self.visits.items():
            if name == cell:
                counts = collections.Counter(index for _, index in each.taken)
                found += sum(count == recordings for count in counts.values())
        return found


def resume_state(lines: Sequence[TimedEvent]) -> ResumeState:
    """The state that these lines of a journal record.

    A finished sample counts even if its worker failed later. A round is over when its last worker
    succeeded, or when there was nothing to measure, but not when it failed or was interrupted.
    """
    visits: collections.defaultdict[Visit, RoundProgress] = collections.defaultdict(RoundProgress)
    replaced_by: dict[int, int] = {}
    decided: dict[int, s.DecisionResult] = {}
    for event in (line.event for line in lines):
        if isinstance(event, s.WorkerStarted):
            visited = visits[event.cell, event.round]
            visited.attempts = max(visited.attempts, event.attempt + 1)
            visited.ended = False
        elif isinstance(event, s.Sample):
            if event.kind == "timed" and not event.retaken:
                piece = (event.utterance, event.index)
                visits[event.cell, event.round].taken[piece] = bool(event.failed)
        elif isinstance(event, s.WorkerEnded):
            visits[event.cell, event.round].ended = event.status == "ok"
        elif isinstance(event, s.RoundSkipped):
            visits[event.cell, event.round].ended = event.status in {"ok", "unavailable"}
        elif isinstance(event, s.RoundWatched) and event.replaced_by is not None:
            replaced_by[event.round] = event.replaced_by
        elif isinstance(event, s.Decided):
            decided[event.after] = event
    elapsed_s, spent_s = _times(lines)
    enough = enough_by_cell(line.event for line in lines)
    return ResumeState(dict(visits), spent_s, replaced_by, decided, enough, elapsed_s)


def _times(lines: Sequence[TimedEvent]) -> tuple[float, dict[str, float]]:
    """Seconds of all sessions, and of each cell's workers; interrupted ones count to the last line.

    There is at most one worker at a time.
    """
    elapsed_s, now_s = 0.0, 0.0
    spent_s: collections.defaultdict[str, float] = collections.defaultdict(float)
    running: tuple[str, float] | None = None
    for line in lines:
        resumed = isinstance(line.event, s.Resumed)
        if not resumed:
            now_s = max(now_s, line.at_s or 0.0)
        if running is not None and (resumed or isinstance(line.event, s.WorkerEnded)):
            spent_s[running[0]] += now_s - running[1]
            running = None
        if resumed:  # another process's clock: it restarts
            elapsed_s, now_s = elapsed_s + now_s, max(line.at_s or 0.0, 0.0)
        elif isinstance(line.event, s.WorkerStarted):
            running = (line.event.cell, now_s)
    if running is not None:
        spent_s[running[0]] += now_s - running[1]
    return elapsed_s + now_s, dict(spent_s)


# Differences from when a run began, for which it cannot be resumed: pure functions.

_LONGEST_VALUE = 80


def changes(then: s.Manifest, now: s.Manifest) -> list[str]:
    """Every difference that makes the same request measure something else, in a few words each.

    Args:
        then: the manifest of the run to resume.
        now: the manifest that a new run would write.
    """
    found = [
        f"{name} {_shown(was)} → {_shown(is_)}"
        for name, was, is_ in _differing(_settings(then.request), _settings(now.request))
    ]
    found += [*_speech(then, now), *_weights(then, now)]
    for what, of in (("machine", comparable.hardware_class), ("system", comparable.system_of)):
        was, is_ = of(then.machine), of(now.machine)
        if was != is_:
            found.append(f"the {what}: {was} → {is_}")
    if missing := [tag for tag in now.tags if tag not in then.tags]:
        found.append(f"it is not tagged {', '.join(missing)}")
    return found


def version_changes(
    then: Mapping[str, s.Loaded], now: Mapping[str, tuple[str, Mapping[str, str]]]
) -> list[str]:
    """Backends whose versions differ.

    Args:
        then: backend name → the report of its last worker after its load.
        now: the same backends → the version, and what else could change a number.
    """
    found = []
    for name, was in then.items():
        version, others = now[name]
        reported, here = {"": was.version, **was.versions}, {"": version, **others}
        for what, old, new in _differing(reported, here):
            of = f" ({what})" if what else ""
            found.append(f"{name}{of} {old or 'unknown'} → {new or 'unknown'}")
    return found


def remarks(then: s.Manifest, now: s.Manifest) -> list[str]:
    """Differences that do not prevent the run from being resumed."""
    if then.tool == now.tool:
        return []
    was, is_ = (
        f"{tool.version} ({_digits(tool.git_sha)})" if tool.git_sha else tool.version
        for tool in (then.tool, now.tool)
    )
    return [f"this tool was {was} and is {is_}"]


def _differing(
    then: Mapping[str, object], now: Mapping[str, object]
) -> Iterator[tuple[str, object, object]]:
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            yield name, then.get(name), now.get(name)


def _settings(request: s.RequestInfo) -> dict[str, object]:
    """The request with the settings of its contract among its other settings."""
    found = {name: getattr(request, name) for name in request.__struct_fields__}
    contract = found.pop("contract")
    return found | {f"contract.{name}": value for name, value in contract.items()}


def _speech(then: s.Manifest, now: s.Manifest) -> Iterator[str]:
    for was, is_ in zip(then.clips, now.clips, strict=False):
        if was.pcm_sha256 != is_.pcm_sha256:
            yield f"the speech {was.name}: {_digits(was.pcm_sha256)} → {_digits(is_.pcm_sha256)}"
        elif _words(was) != _words(is_):
            yield f"the reference texts of {was.name}"
        elif [each.name for each in was.utterances] != [each.name for each in is_.utterances]:
            yield f"the order of the recordings of {was.name}"


def _words(clip: s.ClipInfo) -> dict[str, tuple[str | None, str | None]]:
    known: Sequence[s.ClipInfo | s.UtteranceInfo] = clip.utterances or [clip]
    return {each.name: (each.reference, each.language) for each in known}


def _weights(then: s.Manifest, now: s.Manifest) -> Iterator[str]:
    here = {plan.id: plan for plan in now.cells}
    for was in then.cells:
        is_ = here.pop(was.id, None)
        if is_ is None:
            yield f"the cell {was.id} no longer exists"
            continue
        if was.weights is not None and is_.weights is None:
            yield f"the weights of {was.id} are no longer here"
        elif was.weights and is_.weights and was.weights.files != is_.weights.files:
            yield f"the weights of {was.id}: {_files(was.weights)} → {_files(is_.weights)}"
        if was.declared != is_.declared:
            yield f"the decode settings declared for {was.backend}"
    yield from (f"the cell {name} is new" for name in here)


def _shown(value: object) -> str:
    text = ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else f"{value}"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _files(weights: s.WeightsInfo) -> str:
    return ", ".join(sorted({_digits(each) for each in weights.files.values()})) or "no files"


def _digits(sha256: str) -> str:
    return sha256[:12]


_NEW = "start a new run: leave out --resume"


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of ``--resume``.

    Attributes:
        prepared: the request, fitted to the run that is resumed.
        run: that run, or a complete one of the same request; ``None``: a new one is started.
        complete: whether the run is complete.
        words: the reasons, as lines for a person.
    """

    prepared: Prepared
    run: RunDirectory | None = None
    complete: bool = False
    words: list[str] = field(default_factory=list)


def check(request: Request) -> None:
    """Refuse a request that can never be resumed, before anything is recorded or decoded.

    Raises:
        UsageError: the microphone is the source.
    """
    if request.records:
        raise UsageError(
            "--resume cannot be used with --mic: no two recordings are the same",
            hint="save the recording with --keep-recording, and measure on it with --audio",
        )


def decide(
    prepared: Prepared,
    requested: str | None = None,
    *,
    versions: Callable[..., Versions] = install.installed_versions,
) -> Decision:
    """Find the run that this request resumes.

    A run of the same request has the same options, speech, reference texts, weights, kind of
    machine, releases of the backends and tags. The newest of these that is not complete is
    resumed; if there is none, the newest complete one has the results already; if there is none
    either, a new one is started.

    Args:
        prepared: what is requested now.
        requested: the only run to consider.
        versions: returns the installed release of a backend.

    Raises:
        UsageError: the run ``requested`` is of another request (the message has every
            difference), or it is still being written.
        StorageError: a run cannot be read.
    """
    now = manifest(prepared, run=0, schedule=())
    if requested is not None:
        return _this(directory.find(requested), prepared, now, versions)
    complete: Decision | None = None
    refused: list[str] = []
    for run, then in _of_request(now):
        name = directory.name_of(run)
        against = changes(then, now)
        if journal.is_being_written(run.journal_path):
            if against:
                continue
            raise _still_written(name)
        if _ended(run):
            if complete is None and not against:
                complete = _complete(run, prepared)
            continue
        against = against or _other_releases(run, prepared, versions)
        if not against:
            return _resumed(run, then, now, prepared)
        refused.append(f"Cannot resume run {name}: {'; '.join(against)}.")
    if complete is not None:
        return complete
    none = "No unfinished run of this request: starting a new one."
    return Decision(prepared, words=[*refused[:1], none])


def _of_request(now: s.Manifest) -> Iterator[tuple[RunDirectory, s.Manifest]]:
    """The runs of the same request, newest first; without those that cannot be read."""
    digits = now.request_sha256.encode()
    for run in reversed(directory.every()):
        try:
            data = run.manifest_path.read_bytes()
            if digits in data:  # most are of other requests and need no decoding
                yield run, run.manifest()
        except (OSError, StorageError):
            continue


def _this(
    run: RunDirectory, prepared: Prepared, now: s.Manifest, versions: Callable[..., Versions]
) -> Decision:
    """Resume this run, or raise an error with the reason."""
    name = directory.name_of(run)
    if journal.is_being_written(run.journal_path):
        raise _still_written(name)
    then = msgspec.structs.replace(run.replay().manifest, outcome=None)
    ended = _ended(run)
    against = changes(then, now)
    if not against and not ended:
        against = _other_releases(run, prepared, versions)
    if against:
        raise UsageError(
            f"cannot resume run {name}, because the request differs: " + "; ".join(against),
            hint=f"repeat its request, or {_NEW}",
        )
    return _complete(run, prepared) if ended else _resumed(run, then, now, prepared)


def _other_releases(
    run: RunDirectory, prepared: Prepared, versions: Callable[..., Versions]
) -> list[str]:
    """Backends that were measured in another version than is installed now."""
    backends = {cell.id: cell.backend for cell in prepared.cells}
    loaded: dict[str, s.Loaded] = {}
    here: dict[str, Versions] = {}
    for event in run.journal().events:
        if isinstance(event, s.Loaded):
            backend = backends[event.cell]
            loaded[backend.label] = event
            if backend.label not in here:
                here[backend.label] = versions(backend, threads=prepared.request.threads)
    return version_changes(loaded, here)


def _complete(run: RunDirectory, prepared: Prepared) -> Decision:
    words = [f"Run {directory.name_of(run)} is complete: nothing to resume."]
    return Decision(prepared, run, complete=True, words=words)


def _resumed(run: RunDirectory, then: s.Manifest, now: s.Manifest, prepared: Prepared) -> Decision:
    there = resume_state(run.journal().lines)
    words = [
        f"Resuming run {directory.name_of(run)}, which has {there.samples} samples.",
        *(f"Note that {each}." for each in remarks(then, now)),
    ]
    return Decision(_fitted(prepared, then), run, words=words)


def _fitted(prepared: Prepared, then: s.Manifest) -> Prepared:
    """Without cells that were unavailable when the run began: its manifest lacks them."""
    unknown = {plan.id for plan in then.cells if plan.weights is None}
    late = dict.fromkeys(
        unknown - prepared.unavailable.keys(),
        "was unavailable when this run began; start a new run to measure it",
    )
    return replace(prepared, unavailable=prepared.unavailable | late)


def _ended(run: RunDirectory) -> bool:
    """Whether every round of the run has been visited."""
    ended = end_of(run.journal().events)
    return ended is not None and ended.state == "complete"


def _still_written(name: str) -> UsageError:
    return UsageError(
        f"run {name} is being measured by another speedtest process",
        hint=f"wait for it, or see its state: speedtest show {name}",
    )
