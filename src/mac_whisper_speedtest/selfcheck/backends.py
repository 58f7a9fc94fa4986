"""Every installed backend on every device: a short run through the ordinary path.

The same worker, weights, audio and journal as of ``speedtest run``, in a folder that is removed.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mac_whisper_speedtest.accuracy.score import wer
from mac_whisper_speedtest.audio import builtin
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams
from mac_whisper_speedtest.backends.backend import GPU, Backend
from mac_whisper_speedtest.doctor import accelerators
from mac_whisper_speedtest.doctor.lines import CheckupLine, Readiness, fail, ok, unknown
from mac_whisper_speedtest.machine.reader import Unknown, UnknownFactError
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.run import session
from mac_whisper_speedtest.run.prepare import Prepared, backends_of, prepare
from mac_whisper_speedtest.selfcheck.bench import (
    CLOSE,
    SEND,
    Figures,
    Workbench,
    is_busy,
    load_figures,
    measurement,
    not_measured,
)
from mac_whisper_speedtest.selfcheck.kit import Measurement
from mac_whisper_speedtest.selfcheck.power import RISE
from mac_whisper_speedtest.summary.contract_findings import fallbacks
from mac_whisper_speedtest.summary.findings import BUSY_AFTER_S
from mac_whisper_speedtest.worker import launch
from mac_whisper_speedtest.worker.exit_status import WorkerFailureError
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

MODEL = "tiny.en"
CALLS = 10
TIME_S = 30.0
"""Of one backend on one device, without what starts and loads it."""
STAGE_S, _LEAST_S = 90.0, 30.0
"""Most and least seconds for one stage of its worker; the least applies even without time left."""
_LONGEST_TEXT = 10_000
LARGEST_WER = 0.25
"""Highest error rate on clear speech; a backend above it is broken, not merely inaccurate."""
WER_DIFFERS = 0.05
"""Between a GPU and the CPU: other precisions may exchange a word."""
STEADY = 0.1
"""A call is steady within this share of the median of the last half of the calls."""
OVERHEAD, OVERHEAD_S = 0.02, 0.005
"""Of a call, or seconds: between the worker's clock and the tool's."""
QUIET_CORES = 0.25
_LOAD_LOG = "whisper.cpp-load"

_APPLE = ("coreml", "ane")
"""Devices of Apple silicon other than its GPU."""


@dataclass(frozen=True, slots=True)
class BackendTarget:
    """A backend on a device, as something to measure."""

    backend: Backend
    device: str

    @property
    def subject(self) -> str:
        """Its name, for people."""
        return f"{self.backend.label} on {self.device}"

    @property
    def gpu(self) -> bool:
        """Whether to use a GPU or Apple's Neural Engine."""
        return self.device not in {"cpu", "auto"}

    def measure(self, bench: Workbench) -> Measurement:
        """Run it."""
        return _measure(self, bench)


def targets(*, macos: bool, gpus: frozenset[str]) -> Iterator[BackendTarget]:
    """Every installed backend with the devices that this machine has, the CPU first."""
    for backend in registry.installed().values():
        if backend.broken or not launch.is_installed(backend):
            continue
        words = ["cpu"] if "cpu" in backend.devices else []
        if gpus and backend.devices:
            # A backend for Apple's GPUs cannot use an NVIDIA GPU.
            own = backend.device_for(GPU)
            words += [own] if own is not None and (macos or own in {GPU, "cuda"}) else []
        if macos:
            words += [each for each in _APPLE if each in backend.devices]
        for word in words or ("auto",):
            yield BackendTarget(backend, word)


def measure_without_gpu(bench: Workbench) -> Measurement:
    """The placeholder for every backend on a GPU, without a GPU."""
    kind = "GPU of Apple's" if bench.reader.macos else "NVIDIA GPU with a driver"
    return not_measured("backend", f"this machine has no {kind}", subject="any on a GPU", gpu=True)


def _measure(target: BackendTarget, bench: Workbench) -> Measurement:
    backend, device, subject, gpu = target.backend, target.device, target.subject, target.gpu
    unmeasured = partial(not_measured, "backend", subject=subject, gpu=gpu)
    if gpu and (sees := _seen_devices(target, bench)):
        return unmeasured(f"its library sees {', '.join(sees)} only")
    if not builtin.is_whole(builtin.builtin_clips().recording):
        return unmeasured("the built-in speech is missing: speedtest clips fetch")
    request = Request(
        models=(MODEL,),
        backends=(backend.label,),
        rounds=1,
        passes=CALLS,
        device=device,
        max_time_s=bench.at_most(TIME_S),
        timeout_s=max(_LEAST_S, bench.at_most(STAGE_S)),
        retake=False,
    )
    prepared = prepare(request, backends_of(request), notify=lambda _: None)
    with tempfile.TemporaryDirectory(dir=bench.folder) as work:
        place = RunDirectory(Path(work) / "1")
        place.path.mkdir()
        _, run = session.measure(prepared, Observer(), into=place, watcher=_Unwatched())
    if run.manifest.outcome is not None and run.manifest.outcome.state == "interrupted":
        raise KeyboardInterrupt
    (cell,) = run.cells
    if backend.name == "whisper.cpp":
        bench.raw.setdefault(_LOAD_LOG, "")
        bench.raw[_LOAD_LOG] += f"--device {device}\n{_load_log(target, prepared, bench)}\n"
    if not cell.loads or not cell.samples:
        ending = next((each for each in cell.endings if each.message), None)
        if ending is None or ending.status == "unavailable":
            return unmeasured(ending.message if ending else cell.status)
        status: Figures = {"status": ending.status, "message": ending.message}
        status |= {"limit_s": request.timeout_s, **load_figures()}
        return measurement("backend", status, subject=subject, gpu=gpu)
    figures = {**_figures(cell), "limit_s": request.timeout_s, **load_figures()}
    if device in {"cpu", "auto"}:
        bench.heard[backend.label] = cell.samples[-1].text
    elif backend.label in bench.heard:
        figures["cpu_text"] = bench.heard[backend.label]
    return measurement("backend", {**figures, "asked": device}, subject=subject, gpu=gpu)


def _load_log(target: BackendTarget, prepared: Prepared, bench: Workbench) -> str:
    """What the backend's library writes while it loads the weights."""
    (weights,) = prepared.weights.values()
    model = ModelParams(weights.model, weights.argument, weights.format)
    with tempfile.TemporaryDirectory(dir=bench.folder) as work:
        started = launch.launch(target.backend, scratch=Path(work), threads=1)
        if started is None:
            return ""
        try:
            with Worker(started, Deadlines()) as worker:
                worker.hello()
                worker.load(LoadParams(model, target.device, 1))
                return worker.log_tail()
        except WorkerFailureError as failure:
            return failure.ending.log_tail


def _seen_devices(target: BackendTarget, bench: Workbench) -> list[str]:
    """The devices that the backend's library sees, if no GPU is among them; else nothing."""
    location = accelerators.locate_interpreter(target.backend)
    if not location.question:
        return []
    answer = accelerators.query_interpreter(bench.reader, location.key)
    sees = accelerators.parse_devices(answer) if isinstance(answer, str) else None
    return sees if sees == ["cpu"] else []


def _figures(cell: s.CellResult) -> Figures:
    load, timed = cell.loads[0], [each for each in cell.samples if each.kind == "timed"]
    figures: Figures = {
        "status": cell.status,
        "message": next((each.message for each in cell.endings if each.message), ""),
        "version": cell.backend.version or "",
        "device": load.device,
        "precision": load.precision,
        "details": "; ".join(f"{name}: {text}" for name, text in cell.backend.details.items()),
        "versions": "; ".join(f"{name} {text}" for name, text in cell.backend.versions.items()),
        "text": cell.samples[-1].text,
        "reference": cell.clip.reference or "",
        "load_s": load.load_s,
        "import_s": load.import_s,
        "warmups_s": [each.seconds for each in cell.samples if each.kind != "timed"],
        "calls_s": [each.seconds for each in timed],
        "calls_wall_s": [each.wall_s for each in timed],
        "calls_cpu_s": [each.tree_cpu_s for each in timed if each.tree_cpu_s is not None],
        "outside_s": [each.outside_cpu_s for each in timed if each.outside_cpu_s is not None],
        "busy_after_s": next((each.busy_after_s for each in cell.endings), None),
    }
    for meter in cell.meters:
        for name, reading in meter.readings.items():
            known = reading.value is not None
            figures[f"metered {name}"] = reading.value if known else Unknown(reading.reason)
    return figures


class _Unwatched:
    """Looks at no machine between rounds: there is one."""

    def begin(self) -> None:
        """Nothing."""

    def before_round(self) -> None:
        """Nothing."""

    def after_round(self, number: int, *, last: bool) -> s.RoundWatched | None:  # noqa: ARG002
        """Nothing was watched."""
        return None


def judge(found: Measurement) -> list[CheckupLine]:
    """One line for all that passes, and one for everything that does not."""
    name = found.subject
    if found.text("status") != "ok":
        seen = f"{found.text('status')}: {found.text('message')}"
        if found.text("status") == "timeout":
            if is_busy(found):
                return [unknown(name, f"the machine is busy: {seen}", CLOSE)]
            if found.number("limit_s") < STAGE_S:
                return [
                    unknown(name, f"no time was left: {seen}", "install fewer backends; repeat")
                ]
        return [fail(name, seen, f"speedtest run -m {MODEL} -b {name.partition(' ')[0]}")]
    lines = [
        _aspect(name, aspect, judge_one, found)
        for aspect, judge_one in (
            ("device", _device),
            *((("at work", _at_work),) if found.gpu else ()),
            ("text", _text),
            ("idle after", _idle_after),
            ("steady", _steady),
            ("overhead", _overhead),
        )
    ]
    good = ", ".join(line.seen for line in lines if line.state is Readiness.OK)
    bad = [line for line in lines if line.state is not Readiness.OK]
    return [*([ok(name, good)] if good else []), *bad]


def _aspect(
    name: str, aspect: str, judge_one: Callable[[Measurement], CheckupLine], found: Measurement
) -> CheckupLine:
    try:
        line = judge_one(found)
    except UnknownFactError as error:
        line = unknown(aspect, str(error))
    return CheckupLine(f"{name}: {aspect}", line.state, line.seen, line.next)


def _device(found: Measurement) -> CheckupLine:
    asked, device, precision = found.text("asked"), found.text("device"), found.text("precision")
    seen = f"{device} {precision}"
    wrong = fallbacks(device=(asked, device), precision=("auto", precision))
    return fail("device", "; ".join(wrong), SEND) if wrong else ok("device", seen)


def _at_work(found: Measurement) -> CheckupLine:
    """Whether the GPU, or the Neural Engine, used energy or held memory during the calls."""
    parts = ("ane", "gpu") if found.text("asked") in _APPLE else ("gpu",)
    for name in sorted(found.values):
        domain = name.removeprefix("metered energy_").removesuffix("_j")
        if name == f"metered energy_{domain}_j" and domain.startswith(parts):
            work = found.number(name) / found.number("metered energy_wall_s")
            idle = found.number(f"metered idle_energy_{domain}_j")
            idle /= found.number("metered idle_energy_wall_s")
            seen = f"{domain} {idle:.1f} -> {work:.1f} W"
            if work > idle * (1 + RISE):
                return ok("at work", seen)
            risen = fail("at work", f"{seen}: it did not rise (limit +{RISE:.0%})", SEND)
            return (
                unknown("at work", f"the machine is busy: {seen}", CLOSE)
                if is_busy(found)
                else risen
            )
    held = found.number("metered gpu_peak_bytes")
    return ok("at work", f"{held / 2**20:.0f} MiB of GPU memory")


def _text(found: Measurement) -> CheckupLine:
    rate = _rate(found.text("reference"), found.text("text"))
    seen = f"WER {rate:.1%}"
    if "cpu_text" in found.texts:
        against = _rate(found.text("cpu_text"), found.text("text"))
        if not against:
            return ok("text", f"{seen}, text as on the CPU")
        seen += f", {against:.1%} of the words not as on the CPU (limit {WER_DIFFERS:.0%})"
        if against > WER_DIFFERS:
            return fail("text", seen, SEND)
        return ok("text", seen)
    if rate > LARGEST_WER:
        return fail("text", f"{seen} (limit {LARGEST_WER:.0%})", SEND)
    return ok("text", seen)


def _rate(reference: str, text: str) -> float:
    if max(len(reference), len(text)) > _LONGEST_TEXT:
        raise UnknownFactError("its text is longer than the recording can be")
    found = wer(reference, text)
    if found is None:
        raise UnknownFactError("there are no words to compare with")
    return found


def _idle_after(found: Measurement) -> CheckupLine:
    busy = found.number("busy_after_s")
    seen = f"idle {busy:.2f} s after the answer"
    if busy >= BUSY_AFTER_S:
        seen = f"still computing {BUSY_AFTER_S:g} s after the answer: samples end too early"
        return fail("idle after", seen, SEND)
    return ok("idle after", seen)


def _steady(found: Measurement) -> CheckupLine:
    """From which call, counted from the first of the process, calls are as the last ones."""
    warmups, calls = found.series("warmups_s"), found.series("calls_s")
    if len(calls) < 4:
        raise UnknownFactError(f"{len(calls)} calls fit into the time; 4 are needed")
    typical = statistics.median(calls[len(calls) // 2 :])
    every = [*warmups, *calls]
    first = next(number for number, each in enumerate(every) if each <= typical * (1 + STEADY))
    seen = f"steady from call {first + 1} ({typical:.2f} s)"
    if first < len(warmups) + 1:  # the first timed call may be a little slower by chance
        return ok("steady", seen)
    if (others := _others(found)) > QUIET_CORES:
        return unknown("steady", _busy(others, seen))
    return fail("steady", f"{seen}, but warmed up with {len(warmups)} (limit +1)", SEND)


def _overhead(found: Measurement) -> CheckupLine:
    calls, walls = found.series("calls_s"), found.series("calls_wall_s")
    spent = statistics.median(wall - own for wall, own in zip(walls, calls, strict=True))
    typical = statistics.median(calls)
    seen = f"overhead {spent / typical:.2%}"
    limit = max(OVERHEAD * typical, OVERHEAD_S)
    if spent <= limit:
        return ok("overhead", seen)
    if (others := _others(found)) > QUIET_CORES:
        return unknown("overhead", _busy(others, seen))
    return fail("overhead", f"{seen} (limit {limit / typical:.0%})", SEND)


def _busy(others: float, seen: str) -> str:
    return f"the machine is busy: other programs used {others:.2f} cores; {seen}"


def _others(found: Measurement) -> float:
    """Cores that other programs used during the calls."""
    return sum(found.series("outside_s")) / sum(found.series("calls_wall_s"))
