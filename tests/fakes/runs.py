"""Runs of known truth, through the code of a real run and without one sample measured.

A request is planned by ``run/plan``, its manifest is ``run/prepare``'s, what its workers would have
written are the journal's own events, and its figures come from ``assemble`` and ``summarize``. Only
the workers, the weights and the machine are made up.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from fakes.events import SPOKEN, A, B, effective, ended, loaded, sample, started, watched
from fakes.recordings import collection, recording
from mac_whisper_speedtest.audio.recording import AudioSet, Recording
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.compare.sources import RunSource
from mac_whisper_speedtest.request import DEFAULT_ROUNDS, Request
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.assemble import assemble
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import Journal, TimedEvent
from mac_whisper_speedtest.run import plan, prepare
from mac_whisper_speedtest.summary.summarize import summarize
from mac_whisper_speedtest.weights.locate import Weights

STEADY = tuple(0.1 * each for each in (1.0, 1.01, 0.99, 1.005, 0.995, 1.002, 0.998, 1.0))
"""RTF of a cell in eight rounds of a machine that hardly varies."""

PUBLIC = "LibriSpeech test-clean (openslr.org/12, CC BY 4.0)"

STARTED_AT = "2026-11-20T10:00:00+00:00"

MACHINE = s.MachineInfo(
    os="Linux",
    os_version="6.1",
    architecture="x86_64",
    python="3.11.7",
    cpu="A Processor, at 3 GHz",
    physical_cores=8,
    logical_cores=16,
    memory_bytes=16 << 30,
    gpus=["One GPU", "Another GPU"],
    load_average_1m=0.1,
)


@dataclass(frozen=True)
class FakeCell:
    """A cell and its truth.

    Attributes:
        backend: what it was asked for as (``name@version:precision``), or its description.
        rtf: processing seconds per audio second: with noise, or exactly so in each round.
        text: what it writes of all recordings, or of each by name; the right words where nothing
            is said, no text where it is ``None``.
        model: canonical name.
        spread: standard deviation of the logarithm of a sample, where ``rtf`` is one number.
        fixed_s: seconds added to every sample.
        ending: how its workers end; ``unavailable`` and ``skipped``: none is started.
        message: what they say then.
        log: the end of their log.
        version: of the backend as it was found.
        settings: effective ones that are not as the contract asks.
        remarks: of its adapter.
        peak_bytes: of every process.
        joules: per audio second, above an idle machine; ``None``: there is no counter.
        retaken: rounds in which the first sample was disturbed and taken again.
        sample: other fields of its timed samples.
        seconds_of: seconds for audio of a length, before noise, where ``rtf`` does not say it.
    """

    backend: str | Backend = "a"
    rtf: float | Sequence[float] = 0.1
    text: str | Mapping[str, str | None] | None = field(default_factory=dict)
    model: str = "tiny.en"
    spread: float = 0.01
    fixed_s: float = 0.0
    ending: str = "ok"
    message: str = ""
    log: str = ""
    version: str = "1.2.3"
    settings: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    peak_bytes: int = 300_000_000
    joules: float | None = None
    retaken: Sequence[int] = ()
    sample: Mapping[str, Any] = field(default_factory=dict)
    seconds_of: Callable[[float], float] | None = None

    @property
    def described(self) -> Backend:
        """The backend that was asked for."""
        if isinstance(self.backend, Backend):
            return self.backend
        name, _, precision = self.backend.partition(":")
        name, _, version = name.partition("@")
        return Backend(name=name, version=version, precision=precision)

    def seconds(self, number: int, audio_s: float, noise: random.Random) -> float | None:
        """What a sample takes in round ``number``; ``None``: there is none."""
        if not isinstance(self.rtf, Sequence):
            known = self.seconds_of
            seconds = known(audio_s) if known else self.fixed_s + self.rtf * audio_s
            return seconds * noise.lognormvariate(0, self.spread)
        return self.fixed_s + self.rtf[number] * audio_s if number < len(self.rtf) else None

    def text_of(self, clip: Recording) -> str | None:
        """What it writes of a recording."""
        if isinstance(self.text, Mapping):
            return self.text.get(clip.name, clip.reference or SPOKEN)
        return self.text


@dataclass(frozen=True)
class FakeRun:
    """A run before its figures are computed.

    Attributes:
        manifest: as written before the first sample.
        events: the journal, in order.
        at_s: when each line was written, ``None`` where it does not say; empty: one after another.
    """

    manifest: s.Manifest
    events: list[s.Event]
    at_s: Sequence[float | None] = ()

    @property
    def run(self) -> s.Run:
        """The run with its figures."""
        return summarize(assemble(self.manifest, self.events))

    def write(self, folder: Path, *, synced: bool = False) -> Path:
        """Write the run as a directory that is not sealed, and return where it is.

        Args:
            folder: where.
            synced: through the journal itself, which waits for the disk at each line, for tests of
                disks that refuse one.
        """
        there = RunDirectory(folder)
        folder.mkdir(parents=True, exist_ok=True)
        there.write_manifest(self.manifest)
        if synced:
            with Journal(there.journal_path) as journal:
                for event in self.events:
                    journal.append(event)
            return folder
        times = self.at_s or times_of(self.events)
        lines = [
            msgspec.to_builtins(event) | ({} if at is None else {"at_s": at})
            for event, at in zip(self.events, times, strict=True)
        ]
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        there.journal_path.write_bytes(data)
        return folder


def run_of(
    *cells: FakeCell,
    number: int = 1,
    speech: AudioSet | None = None,
    rounds: int | None = None,
    passes: int | None = None,
    state: str = "complete",
    canary_s: Sequence[float] = (),
    values: Mapping[str, Any] | None = None,
    flagged: Collection[int] = (),
    request: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
    **changes: Any,
) -> FakeRun:
    """A run of these cells.

    Args:
        cells: one for every backend and model.
        number: of the run; its id and its noise come from it.
        speech: what is measured on; one recording where nothing is said.
        rounds: as many as a cell has RTFs, else six.
        passes: as of a real run.
        state: how it ended; empty: it was killed.
        canary_s: what the reference workload took after each round.
        values: the machine's conditions around each round.
        flagged: rounds in which the machine was disturbed.
        request: other fields of the request.
        machine: other fields of the machine.
        changes: other fields of the manifest.
    """
    speech = speech or recording()
    known = [len(cell.rtf) for cell in cells if isinstance(cell.rtf, Sequence)]
    rounds = rounds or max(known, default=DEFAULT_ROUNDS)
    head = manifest_of(cells, speech, number, rounds, passes, request or {})
    head = msgspec.structs.replace(
        head, **{"machine": msgspec.structs.replace(MACHINE, **(machine or {})), **changes}
    )
    truth = {
        planned.id: cell
        for planned in _planned(cells, speech)
        for cell in cells
        if (cell.described, cell.model) == (planned.backend, planned.model)
    }
    conditions = s.ConditionsInfo(values=dict(values)) if values is not None else None
    noise = random.Random(number)
    events: list[s.Event] = []
    for each, visit in enumerate(head.schedule):
        for cell in visit:
            events += _round(truth[cell], cell, each, speech, head.request.passes, noise)
        seen: dict[str, Any] = {"canary_after_s": canary_s[each]} if each < len(canary_s) else {}
        if conditions is not None:
            seen |= {"before": conditions, "after": conditions}
        if each in flagged:
            change = "power: mains -> battery"
            seen |= {"changes": [change], "flagged": change}
        events.append(watched(each, **seen))
    if state:
        events.append(s.RunEnded(state=state))
    return FakeRun(head, events)


def run_of_set(*cells: FakeCell, **options: Any) -> FakeRun:
    """A run on a set of two recordings; ``options`` are those of ``run_of``."""
    return run_of(*cells, **{"speech": collection(), **options})


def manifest_of(
    cells: Sequence[FakeCell],
    speech: AudioSet,
    number: int,
    rounds: int,
    passes: int | None,
    request: Mapping[str, Any],
) -> s.Manifest:
    """What a real run would write before its first sample."""
    asked = Request(
        models=tuple(dict.fromkeys(cell.model for cell in cells)),
        backends=tuple(dict.fromkeys(cell.described.label for cell in cells)),
        **{
            "backends_named": True,
            "rounds": rounds,
            "passes": passes or 0,
            "seed": 1,
            "threads": 4,
            **request,
        },
    )
    planned = _planned(cells, speech)
    absent = {cell.described.label: cell.message for cell in cells if cell.ending == "unavailable"}
    unavailable = {
        each.id: absent[each.backend.label] for each in planned if each.backend.label in absent
    }
    weights = {each.id: _weights(each.model) for each in planned if each.id not in unavailable}
    ready = prepare.Prepared(asked, speech, planned, weights, unavailable)
    order = plan.schedule([each.id for each in planned], asked.planned_rounds, asked.seed)
    return msgspec.structs.replace(
        prepare.manifest(ready, run=number, schedule=order),
        started_at=STARTED_AT,
        run_id=f"{number:032x}",
    )


def times_of(events: Sequence[s.Event]) -> list[float]:
    """When the lines of these events were written: an eighth of a second for all but samples."""
    lasted = (each.wall_s if isinstance(each, s.Sample) else 0.0 for each in events)
    return [round(at_s, 6) for at_s in accumulate(0.125 + max(each, 0.0) for each in lasted)]


def _planned(cells: Sequence[FakeCell], speech: AudioSet) -> list[plan.Cell]:
    backends = {cell.described.label: cell.described for cell in cells}
    models = dict.fromkeys(cell.model for cell in cells)
    return plan.cells(list(models), list(backends.values()), speech.name)


def _weights(model: str) -> Weights:
    return Weights(
        model=model,
        format="ggml",
        precision="float16",
        path=Path("weights"),
        files={f"ggml-{model}.bin": "a" * 64},
        size_bytes=77_000_000,
        source="somebody/whisper@0123456",
        network_sha256="b" * 64,
    )


def _round(
    truth: FakeCell, cell: str, number: int, speech: AudioSet, passes: int, noise: random.Random
) -> Iterator[s.Event]:
    if truth.ending in {"unavailable", "skipped"}:
        yield s.RoundSkipped(
            cell=cell, round=number, status=truth.ending, error_class="", message=truth.message
        )
        return
    yield started(cell, number)
    if truth.ending != "ok":
        yield ended(
            cell,
            number,
            status=truth.ending,
            stage="load",
            error_class="RuntimeError",
            message=truth.message,
            log_tail=truth.log,
            exit_code=1,
        )
        return
    yield loaded(cell, number, version=truth.version)
    values = {**DecodeContract().settings(), **truth.settings}
    yield effective(cell, number, values=values, remarks=list(truth.remarks))
    for index in range(-1, passes):
        for clip in speech.recordings if index >= 0 else speech.recordings[:1]:
            if index == 0 and number in truth.retaken and clip is speech.recordings[0]:
                first = {"disturbed": "other programs took 40 %", "retaken": True}
                yield from _sample(truth, cell, number, index, clip, speech, noise, first)
            yield from _sample(truth, cell, number, index, clip, speech, noise, {})
    yield _metered(truth, cell, number, speech.seconds)
    yield ended(cell, number, log_tail=truth.log)


def _sample(
    truth: FakeCell,
    cell: str,
    number: int,
    index: int,
    clip: Recording,
    speech: AudioSet,
    noise: random.Random,
    changes: Mapping[str, Any],
) -> Iterator[s.Sample]:
    seconds = truth.seconds(number, clip.seconds, noise)
    if seconds is None:
        return
    text = truth.text_of(clip)
    yield sample(
        cell,
        index,
        seconds,
        number,
        **{
            "text": text or "",
            "utterance": clip.name if len(speech.recordings) > 1 else "",
            "failed": "" if text is not None else "RuntimeError: no text",
            "peak_rss_bytes": truth.peak_bytes,
            **(truth.sample if index >= 0 else {}),
            **changes,
        },
    )


def _metered(truth: FakeCell, cell: str, number: int, audio_s: float) -> s.Metered:
    """Ten seconds beside five of an idle machine, which takes 5 W."""
    idle_w, window_s = 5.0, 10.0
    if truth.joules is None:
        none = s.ReadingInfo(value=None, unit="s", reason="no energy counter")
        readings = {"energy_wall_s": none}
    else:
        spent = idle_w * window_s + truth.joules * audio_s
        good = "measured (RAPL)"
        readings = {
            "energy_wall_s": s.ReadingInfo(value=window_s, unit="s"),
            "energy_j": s.ReadingInfo(value=spent, unit="J"),
            "energy_package_j": s.ReadingInfo(value=spent, unit="J", quality=good),
            "idle_energy_wall_s": s.ReadingInfo(value=5.0, unit="s"),
            "idle_energy_package_j": s.ReadingInfo(value=5 * idle_w, unit="J", quality=good),
        }
    return s.Metered(
        cell=cell, round=number, attempt=0, audio_s=audio_s, wall_s=window_s, readings=readings
    )


# ---- runs in places


def source(made: FakeRun) -> RunSource:
    """The run as something to compare."""
    return RunSource(str(made.manifest.run), made.run, None)


TWO = (FakeCell("a"), FakeCell("b", rtf=0.09))


def stored(
    *cells: FakeCell, seal: bool = True, seed: int = 1, synced: bool = False, **options: Any
) -> RunDirectory:
    """The next run of the data folder: of two backends in two rounds where nothing is said.

    Args:
        cells: see ``run_of``.
        seal: whether it came to its end; else the tool was killed before the last line.
        seed: of its noise.
        synced: see ``FakeRun.write``.
        options: of ``run_of``.
    """
    there = directory.create()
    made = run_of(
        *(cells or TWO),
        number=seed,
        **{"rounds": 2, "state": "complete" if seal else "", **options},
    )
    head = msgspec.structs.replace(made.manifest, run=there.number, run_id=uuid.uuid4().hex)
    FakeRun(head, made.events).write(there.path, synced=synced)
    if seal:
        there.seal(summarize(there.replay()))
    return there


def given(
    folder: Path,
    *,
    public: bool = False,
    backends: Sequence[FakeCell] = (),
    change: Callable[[FakeRun], FakeRun] = lambda made: made,
    **options: Any,
) -> RunDirectory:
    """A run in ``folder`` to give away: on a set that is public, or on one of the user's.

    Args:
        folder: where.
        public: whose set it is.
        backends: of the run; one that is right and one that is not where none are given.
        change: whatever else is to be made of it.
        options: of ``run_of``.
    """
    cells = backends or (
        FakeCell("fast"),
        FakeCell("slow", rtf=0.2, text={"u1": "he sells"}),
    )
    speech = collection(name="librispeech:test-clean", source=PUBLIC) if public else collection()
    made = run_of(*cells, speech=speech, **options)
    return RunDirectory(change(made).write(folder))


def timed(events: Sequence[TimedEvent], rounds: int = 1) -> FakeRun:
    """A run of two backends whose journal and its every moment are given."""
    order = [[A, B]] * rounds
    head = run_of_set(
        FakeCell("a"), FakeCell("b"), number=42, rounds=rounds, schedule=order
    ).manifest
    return FakeRun(head, [each.event for each in events], [each.at_s for each in events])
