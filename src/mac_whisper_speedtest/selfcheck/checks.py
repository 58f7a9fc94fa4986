"""The checks in order: their questions, how they are measured, and how kits of them are judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import msgspec

from mac_whisper_speedtest.doctor.accelerators import inspect_gpu
from mac_whisper_speedtest.doctor.lines import (
    Checkup,
    CheckupLine,
    Readiness,
    Section,
    fail,
    unknown,
)
from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.machine.reader import UnknownFactError
from mac_whisper_speedtest.selfcheck import (
    backends,
    endings,
    host,
    identity,
    memory,
    power,
    processor,
    shipped_locks,
)
from mac_whisper_speedtest.selfcheck.bench import (
    ERROR,
    SEND,
    Workbench,
    failed,
    not_measured,
)
from mac_whisper_speedtest.selfcheck.kit import Kit, Measurement, without_names
from mac_whisper_speedtest.version import __version__
from mac_whisper_speedtest.worker import ownership
from mac_whisper_speedtest.worker.exit_status import WorkerFailureError

LIMIT_S, MORE_S = 500.0, 60.0
"""When the last check begins, and for how long it may go on. What does not fit is not known: the
promise to an owner is ten minutes."""

_LONGEST = 600  # characters of a text on the page

Judge = Callable[[Measurement], Iterable[CheckupLine]]


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the machine.

    Attributes:
        name: of its measurements.
        title: of the section of the page.
        question: in words, for the progress.
        measure: makes the measurements, at most some dozens of seconds.
        judge: judges one of them; pure.
        subject: the subject of each measurement, if there are several.
        gpu: whether it is about a GPU.
    """

    name: str
    title: str
    question: str
    measure: Callable[[Workbench], Measurement | list[Measurement]]
    judge: Judge
    subject: str = ""
    gpu: bool = False


CHECKS: Sequence[Check] = (
    Check("identity", "identity", "what is this machine?", identity.measure, identity.judge),
    Check(
        "processor worker",
        "processor",
        "is the processor time of a worker counted as its own?",
        processor.measure_worker,
        processor.judge_worker,
    ),
    Check(
        "processor stranger",
        "processor",
        "is the processor time of another program seen?",
        processor.measure_stranger,
        processor.judge_stranger,
    ),
    Check(
        "processor idle",
        "processor",
        "do the daemons of the idle machine disturb a sample?",
        processor.measure_idle,
        processor.judge_idle,
    ),
    Check(
        "memory",
        "memory",
        "does a gibibyte in each allocator show?",
        memory.measure,
        memory.judge,
    ),
    Check(
        "ending",
        "endings",
        "is every ending recognized, and does nothing remain?",
        endings.measure,
        endings.judge,
    ),
    Check(
        "energy",
        "energy",
        "do the energy counters rise with work?",
        power.measure,
        power.judge,
    ),
    Check(
        "durability",
        "host",
        "how long does writing a journal line to disk take?",
        host.measure_durability,
        host.judge_durability,
    ),
    Check("clock", "host", "how fine is the clock?", host.measure_clock, host.judge_clock),
    Check(
        "cost",
        "host",
        "what does a reading cost?",
        host.measure_cost,
        host.judge_cost,
    ),
    Check("awake", "host", "is the machine kept awake?", host.measure_awake, host.judge_awake),
)
BACKEND, LOCK = "backend", "lock"
_BACKENDS, _LOCKS = "backends", "locks"
_LATER = {LOCK: _LOCKS, BACKEND: _BACKENDS}
"""Checks of which there are as many as locks and backends, by name, with their titles."""


def planned(bench: Workbench, *, locks: bool) -> list[Check]:
    """All checks, with one for every installed backend and device."""
    found = [
        Check(
            BACKEND,
            _BACKENDS,
            f"{each.subject}: device, text, steady state?",
            each.measure,
            backends.judge,
            each.subject,
            each.gpu,
        )
        for each in backends.targets(macos=bench.reader.macos, gpus=bench.gpus)
    ]
    if not bench.gpus:
        none = backends.measure_without_gpu
        found.insert(0, Check(BACKEND, _BACKENDS, "backends on a GPU?", none, backends.judge))
    measure = shipped_locks.measure if locks else shipped_locks.not_asked
    install = Check(LOCK, _LOCKS, "would each lock install?", measure, shipped_locks.judge)
    return [*CHECKS, install, *found]


_JUDGES: dict[str, tuple[str, Judge]] = {
    **{each.name: (each.title, each.judge) for each in CHECKS},
    BACKEND: (_BACKENDS, backends.judge),
    "identity gpu": ("identity", identity.judge_gpu),
    "identity wheels": ("identity", identity.judge_wheels),
    LOCK: (_LOCKS, shipped_locks.judge),
    "energy gpu": ("energy", power.judge_gpu),
}


def perform(notify: Callable[[str], None], *, gpu: bool = False, locks: bool = False) -> Kit:
    """Measure everything, and return the kit as it may be given away.

    After an interrupt, the kit has the earlier measurements.

    Args:
        notify: called with a line before each check.
        gpu: whether an unknown state of a GPU is a failure.
        locks: whether to ask the package index whether each lock would install.
    """
    began, interrupted = time.monotonic(), False
    found: list[Measurement] = []
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with ownership.temporary_folder() as folder:
        bench = Workbench(folder)
        try:
            bench.ends_at = began + LIMIT_S + MORE_S
            bench.gpus = inspect_gpu(bench.reader).kinds
            todo = planned(bench, locks=locks)
            for number, check in enumerate(todo, start=1):
                spent_s = time.monotonic() - began
                bench.left = len(todo) + 1 - number
                notify(f"{number} of {len(todo)}, {spent_s:.0f} s: {check.question}")
                found += _measured(check, bench, spent_s)
        except KeyboardInterrupt:
            interrupted = True
    return without_names(
        Kit(
            tool=__version__,
            measured_at=at,
            gpu=gpu,
            interrupted=interrupted,
            measurements=found,
            raw=bench.raw,
        )
    )


def _measured(check: Check, bench: Workbench, spent_s: float) -> list[Measurement]:
    """The measurements of a check; an error on an untested machine costs this check only."""
    began = time.monotonic()
    fallen_short = partial(not_measured, check.name, subject=check.subject, gpu=check.gpu)
    wrong = partial(failed, check.name, subject=check.subject, gpu=check.gpu)
    made: Measurement | list[Measurement]
    try:
        if spent_s > LIMIT_S:
            made = fallen_short(f"the time of {LIMIT_S:g} s is used up")
        else:
            made = check.measure(bench)
    except SpeedtestError as error:
        made = fallen_short(f"{error.message}; {error.hint}")
    except WorkerFailureError as failure:
        made = wrong(f"a worker ended: {failure.ending.message}")
    except Exception as error:  # noqa: BLE001 - see above
        made = wrong(f"an error of this program: {type(error).__name__}: {error}")
    several = made if isinstance(made, list) else [made]
    spent = (time.monotonic() - began) / max(len(several), 1)
    return [msgspec.structs.replace(each, seconds=round(spent, 3)) for each in several]


def judged(kit: Kit) -> Checkup:
    """What the measurements of a kit mean, by the rules of this release. Pure."""
    titles = {check.name: check.title for check in CHECKS} | _LATER
    sections: dict[str, list[CheckupLine]] = {title: [] for title in titles.values()}
    for each in kit.measurements:
        title, judge = _JUDGES.get(each.check, ("unknown to this release", _not_known))
        sections.setdefault(title, []).extend(_lines(each, judge, gpu=kit.gpu))
    made = {each.check for each in kit.measurements}
    for name, title in titles.items():
        if name not in made:
            why = "interrupted" if kit.interrupted else "the kit has no such measurement"
            sections[title].append(unknown(name, why, "repeat: speedtest selfcheck"))
    return Checkup(
        tuple(
            Section(title, tuple(map(_plain, lines))) for title, lines in sections.items() if lines
        )
    )


def _plain(line: CheckupLine) -> CheckupLine:
    """A line of the page for any text of a kit; its state has a separate column."""
    topic, seen, then = (
        " ".join(text[:_LONGEST].split()) for text in (line.topic, line.seen, line.next)
    )
    return CheckupLine(topic, line.state, seen.removeprefix("not known: "), then)


def _not_known(found: Measurement) -> list[CheckupLine]:
    raise UnknownFactError(f"this release has no check {found.check!r}")


def _lines(found: Measurement, judge: Judge, *, gpu: bool) -> list[CheckupLine]:
    """The lines of a measurement. Figures may be missing, or forged."""
    own = f"{found.check}: {found.subject}" if found.subject else found.check
    topic = found.subject if found.check == BACKEND else own
    try:
        if found.reason:
            raise UnknownFactError(found.reason)
        if ERROR in found.texts:
            return [fail(topic, found.texts[ERROR], SEND)]
        lines = list(judge(found))
    except UnknownFactError as error:
        lines = [unknown(topic, str(error))]
    except Exception as error:  # noqa: BLE001 - a kit may contain anything
        lines = [unknown(topic, f"its figures are invalid: {error}")]
    if not (gpu and found.gpu):
        return lines
    return [
        replace(line, state=Readiness.FAIL) if line.state is Readiness.UNKNOWN else line
        for line in lines
    ]
