"""Energy: does each counter rise when its part of the machine works?"""

from __future__ import annotations

import os
from collections.abc import Mapping

from mac_whisper_speedtest.doctor.lines import CheckupLine, fail, ok, unknown
from mac_whisper_speedtest.machine import energy
from mac_whisper_speedtest.machine.energy import Energy, Window
from mac_whisper_speedtest.machine.reader import Unknown, attempt
from mac_whisper_speedtest.selfcheck.bench import (
    CLOSE,
    SEND,
    Figures,
    KnownWorker,
    Workbench,
    failed,
    is_busy,
    load_figures,
    measurement,
    not_measured,
)
from mac_whisper_speedtest.selfcheck.kit import Measurement
from mac_whisper_speedtest.selfcheck.memory import interpreter_with
from mac_whisper_speedtest.worker.exit_status import WorkerFailureError

WORK_S = 4.0
RISE = 0.1
"""Of idle power. Every core computing at once multiplies it on any machine."""
_CPU = ("cpu", "package")
_GPU = ("gpu",)


def measure(bench: Workbench) -> list[Measurement]:
    """Meter the idle machine, then every core at work, then a GPU where a library sees one."""
    counters = energy.available_counters()
    load = load_figures()
    idle = energy.meter_idle(counters)
    if isinstance(idle, Unknown):
        read = {each.name: attempt(each.read) for each in counters}
        why = [f"{name}: {each.reason}" for name, each in read.items() if isinstance(each, Unknown)]
        reason = "; ".join(why) or idle.reason
        return [not_measured("energy", reason), not_measured("energy gpu", reason, gpu=True)]
    probe = Energy(counters)
    with bench.known_worker() as known:
        threads = os.cpu_count() or 1
        cores = _metered(probe, known, "cores", seconds=WORK_S, processes=threads)
    figures = {**_watts(idle, "idle"), **_watts(cores, "work"), **load}
    found = [measurement("energy", figures)]
    return [*found, _gpu(bench, probe, idle)]


def _gpu(bench: Workbench, probe: Energy, idle: Window) -> Measurement:
    for library in ("mlx", "torch"):
        python = interpreter_with(library)
        if not python:
            continue
        try:
            with bench.known_worker(python=python) as known:
                facts = known.do("multiply", library=library, seconds=0.1)
                if facts["device"] == "cpu":
                    continue
                used = _metered(probe, known, "multiply", library=library, seconds=WORK_S)
        except WorkerFailureError as failure:
            return failed("energy gpu", failure.ending.message, gpu=True)
        figures = {**_watts(idle, "idle"), **_watts(used, "work"), **facts, **load_figures()}
        return measurement("energy gpu", figures, subject=library, gpu=True)
    return not_measured("energy gpu", "no installed library sees a GPU", gpu=True)


def _metered(
    probe: Energy, known: KnownWorker, work: str, **arguments: float | str
) -> Window | Unknown:
    probe.begin(known.target)
    known.do(work, **arguments)
    probe.end(known.target)
    return probe.window


def _watts(window: Window | Unknown, when: str) -> Figures:
    if isinstance(window, Unknown):
        return {when: window}
    watts: Mapping[str, float] = energy.mean_watts(window)
    return {f"{when} {domain}": value for domain, value in watts.items()}


def judge(found: Measurement) -> list[CheckupLine]:
    """The processor's power rises."""
    return [_rises(found, "energy of the cores", _CPU)]


def judge_gpu(found: Measurement) -> list[CheckupLine]:
    """The GPU's power rises."""
    return [_rises(found, "energy of the GPU", _GPU)]


def _rises(found: Measurement, topic: str, parts: tuple[str, ...]) -> CheckupLine:
    names = [name.removeprefix("idle ") for name in found.values if name.startswith("idle ")]
    # Of several GPUs, the one that the worker named is metered at work.
    domains = sorted(name for name in names if f"work {name}" in found.values)
    if not domains:
        return unknown(topic, found.unknown.get("work", "there is no energy counter"))
    words, risen = [], False
    for domain in domains:
        idle, work = found.number(f"idle {domain}"), found.number(f"work {domain}")
        words.append(f"{domain} {idle:.1f} -> {work:.1f} W")
        if domain.startswith(parts):
            risen = risen or work > idle * (1 + RISE)
    seen = f"{', '.join(words)} (limit +{RISE:.0%})"
    if not any(domain.startswith(parts) for domain in domains):
        return unknown(topic, f"no counter of it: {seen}")
    if risen:
        return ok(topic, seen)
    if is_busy(found):
        return unknown(topic, f"the machine is busy: {seen}", CLOSE)
    return fail(topic, f"it does not rise: {seen}", SEND)
