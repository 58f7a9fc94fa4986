"""Runs one round of one cell in a new worker process, and records what happens."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import msgspec
import psutil

from mac_whisper_speedtest.backends.adapter import LoadParams
from mac_whisper_speedtest.backends.cuda import UsedGpu
from mac_whisper_speedtest.errors import ErrorClass
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.machine import caches as compile_caches
from mac_whisper_speedtest.machine import contention, cpu, host, memory, nvml
from mac_whisper_speedtest.machine.caches import Caches
from mac_whisper_speedtest.machine.cpu import Cpu
from mac_whisper_speedtest.machine.host import Placement
from mac_whisper_speedtest.machine.probe import Reading, Target
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run.inputs import TaskRecording
from mac_whisper_speedtest.run.task import Task
from mac_whisper_speedtest.run.warmup import Call, another_call
from mac_whisper_speedtest.summary import contract_findings, findings
from mac_whisper_speedtest.worker import exit_status
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.compilation import ANNOUNCEMENT, compilation_of
from mac_whisper_speedtest.worker.exit_status import Status, WorkerExit, WorkerFailureError
from mac_whisper_speedtest.worker.launch import Launch, launch, not_installed
from mac_whisper_speedtest.worker.supervisor import Answer, TranscriptionFailedError, Worker

_QUIET_WINDOW_S = 0.05
_QUIET_S = 0.009
"""A worker is idle when it used less than a fifth of a core for 50 ms: under one of the hundredths
of a second that the system counts in. Housekeeping threads use less, and not in each of the ten
windows of ``findings.BUSY_AFTER_S``; on a busy machine a worker may get no more than that."""

_MEASURED = tuple(
    each.name
    for each in fields(m.TranscribeResult)
    if each.name in s.Sample.__struct_fields__ and each.name != "segments"
)
"""Fields of an answer that the journal has under the same name; the others are settings."""


def run_in_worker(task: Task, record: Callable[[s.Event], None], observer: Observer) -> WorkerExit:
    """The real executor: spawn, load, warm up, sample, shut down."""
    busy_after_s = None
    task.inputs.restore_changed()
    task.inputs.remember_weights()
    with tempfile.TemporaryDirectory(dir=task.work, ignore_cleanup_errors=True) as scratch:
        rung, note = _drop_weights(task)
        started = launch(task.cell.backend, scratch=Path(scratch), threads=task.request.threads)
        where = task.where
        record(s.WorkerStarted(**where))
        if started is None:
            ending = WorkerExit(
                Status.UNAVAILABLE,
                m.Stage.SPAWN,
                ErrorClass.NOT_INSTALLED,
                not_installed(task.cell.backend),
            )
        else:
            placement = Placement(task.request.affinity or (), task.request.nice)
            program = Path(started.argv[0]).name
            caches = compile_caches.compile_caches(program)
            compiles = compilation_of(task.cell.backend, task.device, caches)
            if compiles is not None and compiles.first and not task.round and not task.attempt:
                observer.notify(f"{task.cell.id}: {ANNOUNCEMENT}")
            limits = task.deadlines.allowing(compiles, requested=task.request.timeout_s is not None)
            try:
                with Worker(
                    started,
                    limits,
                    memory_limit=task.memory_limit,
                    gpu_memory_limit=task.request.max_memory_bytes,
                    observer=observer,
                ) as worker:
                    for problem in host.apply_placement(worker.pid, placement):
                        observer.log("warning", f"{task.cell.id}: {problem}")
                    _Conversation(worker, task, record, observer, started, caches).hold(rung, note)
                    # All timed work is done, so this cannot disturb it.
                    busy_after_s = _busy_after_s(worker.pid)
                    ending = worker.shutdown()
            except WorkerFailureError as failure:
                ending = failure.ending
    changed = [*task.inputs.restore_changed(), *sorted(task.inputs.changed_weights())]
    # After a failed load, weights are checked, and repaired if requested.
    if changed and not (task.request.repair and ending.stage == m.Stage.LOAD):
        what = f"changed {', '.join(changed)}, which other backends may also read"
        ending = exit_status.violated_protocol(m.Stage.TRANSCRIBE, what)
    record(
        s.WorkerEnded(
            **where,
            status=ending.status,
            stage=str(ending.stage),
            error_class=ending.error_class,
            message=scrub(ending.message),
            log_tail=scrub(ending.log_tail),
            exit_code=ending.exit_code,
            busy_after_s=busy_after_s,
        )
    )
    return ending


def _drop_weights(task: Task) -> tuple[str, str]:
    """Drop the weights from the page cache for a cold load; return the load's rung and a note."""
    if not task.loads_cold:
        return s.LOAD_FRESH, ""
    if not task.model.path:
        return s.LOAD_FRESH, "not known to be cold: the system keeps the weights"
    done = compile_caches.drop([task.weights])
    if done.dropped:
        return (
            s.LOAD_COLD,
            f"{megabytes(done.bytes)} of weights were dropped from the page cache",
        )
    return s.LOAD_FRESH, f"not known to be cold: {scrub(done.reason)}"


@dataclass(slots=True)
class _Conversation:
    """The calls to one worker, in order; every answer is on disk before the next call."""

    worker: Worker
    task: Task
    record: Callable[[s.Event], None]
    observer: Observer
    launch: Launch
    caches: Caches
    began: float = field(default_factory=time.monotonic)
    retakes: int = 0
    effective: s.Effective | None = None
    gpu: UsedGpu | None = None
    device: str = ""

    def hold(self, rung: str, note: str) -> None:
        """Make all calls but the shutdown."""
        task, observer = self.task, self.observer
        observer.status("starting")
        hello = self.worker.hello()
        self._load(hello, rung, note)
        observer.status("first call")
        self._warm_up()
        target = Target(self.worker.pid, self.gpu)
        for probe in task.probes:
            probe.begin(target)
        started, audio_s = time.monotonic(), 0.0
        for index in range(task.passes):
            missing = task.missing(index)
            if not missing:
                continue
            elapsed = time.monotonic() - self.began
            # A pass that an earlier attempt began is always finished.
            if len(missing) == len(task.recordings) and not task.budget.another_sample(
                task.round, in_round=index, elapsed_s=elapsed
            ):
                break
            observer.status(f"sample {index + 1} of {task.passes}")
            for recording in missing:
                audio_s += self._time(recording, index)
            task.budget.samples += 1
        wall_s = time.monotonic() - started
        readings = {name: each for probe in task.probes for name, each in probe.end(target).items()}
        if readings:
            self.record(
                s.Metered(
                    **task.where,
                    audio_s=audio_s,
                    wall_s=wall_s,
                    readings={name: _reading(each) for name, each in readings.items()},
                )
            )
        if task.loads_cold:
            observer.status("loading again")
            self.worker.unload()
            self.caches = compile_caches.compile_caches(
                Path(self.launch.argv[0]).name
            )  # the first load filled them
            self._load(hello, s.LOAD_WARM, "in the same process, after the weights were unloaded")
        observer.status("ending")

    def _load(self, hello: Answer[m.HelloResult], rung: str, note: str) -> None:
        task, observer = self.task, self.observer
        observer.status("loading")
        load = self.worker.load(LoadParams(task.model, task.device, task.request.threads))
        self.gpu, self.device = load.value.gpu, load.value.device
        warnings = [
            *contract_findings.fallbacks(
                device=(task.device, load.value.device),
                precision=(task.model.precision, load.value.precision),
            ),
            *contract_findings.not_in_core_ml(task.model.format, load.value.device),
        ]
        for warning in warnings:
            observer.log("warning", f"{task.cell.id}: {warning}")
        self.record(
            s.Loaded(
                **task.where,
                version=hello.value.version,
                versions=hello.value.versions,
                device=load.value.device,
                device_asked=task.device,
                precision=load.value.precision,
                precision_asked=task.model.precision,
                details=load.value.details,
                spawn_s=self.worker.spawn_s,
                import_s=hello.value.import_s,
                hello_wall_s=hello.wall_s,
                load_s=load.value.load_s,
                load_wall_s=load.wall_s,
                peak_rss_before_bytes=load.value.peak_rss_before_bytes,
                peak_rss_bytes=load.value.peak_rss_bytes,
                gpu=nvml.describe_used(self.gpu),
                warnings=warnings,
                thread_variables=self.launch.thread_variables,
                rung=rung,
                rung_note=note,
                compile_cache=compile_caches.cache_state(load.value.device, self.caches),
            )
        )

    def _params(self, recording: TaskRecording, kind: str) -> m.TranscribeParams:
        contract = self.task.request.decode_contract.for_recording(recording.language)
        return m.TranscribeParams(recording.audio, contract, kind)

    def _warm_up(self) -> None:
        """Transcribe until the process is warm; where shapes matter, every recording once."""
        task, calls = self.task, list[Call]()
        on_cpu = self.device.partition(" ")[0] == "cpu"
        while another_call(calls, on_cpu=on_cpu, enough=task.warm_up.enough):
            call = self._warm(task.first)
            if call is None:
                break
            calls.append(call)
            self.observer.status("warming up")
        task.warm_up.learn(calls)
        if self.device in task.cell.backend.compiles_shapes_on:
            due = {each.name: each for index in range(task.passes) for each in task.missing(index)}
            for recording in due.values():
                if recording != task.first and recording.name not in task.crashed_on:
                    self._warm(recording)

    def _warm(self, recording: TaskRecording) -> Call | None:
        """One warm-up call; ``None`` if the backend has no text for this recording of a set."""
        task = self.task
        called = time.monotonic()
        try:
            answer = self.worker.transcribe(
                self._params(recording, "warmup"), survives_errors=len(task.recordings) > 1
            )
        except TranscriptionFailedError:
            return None  # it is requested again as a timed sample, and recorded then
        except WorkerFailureError as failure:
            due = [index for index in range(task.passes) if recording in task.missing(index)]
            if due and len(task.recordings) > 1:
                waited_s = time.monotonic() - called
                self._write_failure(recording, failure.ending, waited_s, due[0])
            raise
        self._write(recording, answer, -1, {}, disturbed="", retaken=False)
        return Call(answer.value.seconds, answer.wall_s)

    def _time(self, recording: TaskRecording, index: int) -> float:
        """Take a timed sample; retake it when it was disturbed.

        By other programs on the processor, or by swapping.

        Returns:
            Seconds of audio that were transcribed.
        """
        params, target = self._params(recording, "timed"), Target(self.worker.pid)
        audio_s = 0.0
        while True:
            swap = memory.swap_counts()
            cpu = Cpu()
            cpu.begin(target)
            called = time.monotonic()
            try:
                answer = self.worker.transcribe(
                    params, survives_errors=len(self.task.recordings) > 1
                )
            except TranscriptionFailedError as failure:
                self._write_failure(recording, failure.ending, failure.wall_s, index)
                return audio_s
            except WorkerFailureError as failure:
                # Of a set, the others can still be measured by another worker.
                if len(self.task.recordings) > 1:
                    waited_s = time.monotonic() - called
                    self._write_failure(recording, failure.ending, waited_s, index)
                raise
            readings = cpu.end(target)
            audio_s += recording.seconds
            short = memory.shortage(swap, memory.swap_counts())
            disturbed = "; ".join(filter(None, (self._disturbed(readings), short)))
            retaken = bool(disturbed) and self._may_retake(answer.wall_s)
            self._write(recording, answer, index, readings, disturbed=disturbed, retaken=retaken)
            if not retaken:
                return audio_s
            self.retakes += 1

    def _disturbed(self, readings: dict[str, Reading]) -> str:
        """The use of other programs meanwhile, in words; empty when it was small or unknown."""
        outside = contention.outside_work(readings)
        if isinstance(outside, str):
            return ""
        threads = contention.busy_threads(self.task.request.threads, self.device)
        judged = contention.judge_contention(outside, cores=self.task.cores, threads=threads)
        return judged.words if judged.disturbed else ""

    def _may_retake(self, cost_s: float) -> bool:
        """Whether to retake a disturbed sample: within the time, and once per sample on average."""
        if not self.task.request.retake:
            return False
        allowed = self.task.passes * len(self.task.recordings)
        elapsed = time.monotonic() - self.began
        return self.retakes < allowed and self.task.budget.room_for(
            self.task.round, cost_s=cost_s, elapsed_s=elapsed
        )

    def _write(
        self,
        recording: TaskRecording,
        answer: Answer[m.TranscribeResult],
        index: int,
        readings: Mapping[str, Reading],
        *,
        disturbed: str,
        retaken: bool,
    ) -> None:
        """Record a sample on disk immediately; its settings only when they changed."""
        value, where = answer.value, self.task.where
        effective = s.Effective(
            **where,
            values=value.effective,
            observed=value.observed,
            remarks=value.remarks,
            language=recording.language,
        )
        if effective != self.effective:
            self.record(effective)
            self.effective = effective
        self.record(
            s.Sample(
                **where,
                **{name: getattr(value, name) for name in _MEASURED},
                segments=msgspec.convert(value.segments, list[s.SegmentInfo], from_attributes=True),
                index=index,
                kind="warmup" if index < 0 else "timed",
                wall_s=answer.wall_s,
                utterance=recording.name,
                peak_footprint_bytes=memory.peak_footprint(self.worker.pid),
                tree_cpu_s=_value(readings, "cpu_s"),
                efficiency_cpu_s=_value(readings, "efficiency_cpu_s"),
                outside_cpu_s=_value(readings, "outside_cpu_s"),
                disturbed=disturbed,
                retaken=retaken,
            )
        )

    def _write_failure(
        self, recording: TaskRecording, ending: WorkerExit, wall_s: float, index: int
    ) -> None:
        self.task.inputs.require_folder()  # else it is not the worker's failure
        self.record(
            s.Sample(
                **self.task.where,
                index=index,
                kind="timed",
                seconds=wall_s,
                wall_s=wall_s,
                text="",
                segments=[],
                language=None,
                tokens=None,
                cpu_s=None,
                peak_rss_bytes=None,
                utterance=recording.name,
                failed=scrub(f"{ending.error_class}: {ending.message}"),
            )
        )


def _value(readings: Mapping[str, Reading], name: str) -> float | None:
    found = readings.get(name)
    return None if found is None else found.value


def _reading(each: Reading) -> s.ReadingInfo:
    return s.ReadingInfo(
        value=each.value, unit=each.unit, reason=scrub(each.reason), quality=each.quality
    )


def _busy_after_s(pid: int) -> float | None:
    """How long the worker continues to compute after its last answer, in seconds.

    Waits until the worker is idle, at most ``findings.BUSY_AFTER_S``.

    Returns:
        ``None`` where the system does not report it.
    """
    began = time.monotonic()
    waited = 0.0
    with contextlib.suppress(psutil.Error, OSError):
        used_s = cpu.tree_cpu_s(pid)
        while waited < findings.BUSY_AFTER_S:
            time.sleep(_QUIET_WINDOW_S)
            before_s, used_s = used_s, cpu.tree_cpu_s(pid)
            if used_s - before_s < _QUIET_S:
                break
            waited = time.monotonic() - began
        return waited
    return None
