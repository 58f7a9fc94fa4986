"""The checks in order: their questions, how they are measured, and how kits of them are judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from mac_whisper_speedtest.doctor.lines import Checkup, CheckupLine, Readiness, Section, unknown
from mac_whisper_speedtest.machine.reader import UnknownFactError
from mac_whisper_speedtest.selfcheck import endings, identity, processor
from mac_whisper_speedtest.selfcheck.bench import Workbench, not_measured
from mac_whisper_speedtest.selfcheck.kit import Kit, Measurement, without_names
from mac_whisper_speedtest.version import __version__
from mac_whisper_speedtest.worker import ownership
from mac_whisper_speedtest.worker.exit_status import WorkerFailureError

LIMIT_S = 540.0
"""All checks together; what does not fit is not known. The promise to an owner is ten minutes."""

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
    """

    name: str
    title: str
    question: str
    measure: Callable[[Workbench], Measurement | list[Measurement]]
    judge: Judge


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
        "ending",
        "endings",
        "is every ending recognized, and is nothing left behind?",
        endings.measure,
        endings.judge,
    ),
)
_JUDGES: dict[str, tuple[str, Judge]] = {
    **{each.name: (each.title, each.judge) for each in CHECKS},
    "identity gpu": ("identity", identity.judge_gpu),
}


def perform(notify: Callable[[str], None], *, gpu: bool = False) -> Kit:
    """Measure everything, and return the kit as it may be given away.

    After an interrupt, the kit has what was measured before.

    Args:
        notify: called with a line before each check.
        gpu: whether what is not known about a GPU is a failure.
    """
    began, interrupted = time.monotonic(), False
    found: list[Measurement] = []
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with ownership.temporary_folder() as folder:
        bench = Workbench(folder)
        try:
            for number, check in enumerate(CHECKS, start=1):
                notify(
                    f"{number} of {len(CHECKS)}, {time.monotonic() - began:.0f} s: {check.question}"
                )
                if time.monotonic() - began > LIMIT_S:
                    found.append(not_measured(check.name, f"the time of {LIMIT_S:g} s is used up"))
                    continue
                found += _measured(check, bench)
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


def _measured(check: Check, bench: Workbench) -> list[Measurement]:
    """The measurements of a check; an error on an untested machine costs this check only."""
    began = time.monotonic()
    try:
        made = check.measure(bench)
    except WorkerFailureError as failure:
        made = not_measured(check.name, failure.ending.message)
    except Exception as error:  # noqa: BLE001 - see above
        made = not_measured(check.name, f"{type(error).__name__}: {error}")
    several = made if isinstance(made, list) else [made]
    spent = (time.monotonic() - began) / max(len(several), 1)
    return [msgspec.structs.replace(each, seconds=round(spent, 3)) for each in several]


def judged(kit: Kit) -> Checkup:
    """What the measurements of a kit mean, by the rules of this release. Pure."""
    sections: dict[str, list[CheckupLine]] = {check.title: [] for check in CHECKS}
    for each in kit.measurements:
        title, judge = _JUDGES.get(each.check, ("unknown to this release", _not_known))
        sections.setdefault(title, []).extend(_lines(each, judge, gpu=kit.gpu))
    made = {each.check for each in kit.measurements}
    for check in CHECKS:
        if check.name not in made:
            why = "interrupted" if kit.interrupted else "the kit has no such measurement"
            sections[check.title].append(unknown(check.name, why, "repeat: speedtest selfcheck"))
    return Checkup(
        tuple(Section(title, tuple(lines)) for title, lines in sections.items() if lines)
    )


def _not_known(found: Measurement) -> list[CheckupLine]:
    raise UnknownFactError(f"this release has no check {found.check!r}")


def _lines(found: Measurement, judge: Judge, *, gpu: bool) -> list[CheckupLine]:
    """The lines of a measurement. Figures may be missing, and those of a forged kit be anything."""
    topic = f"{found.check} {found.subject}".strip()
    try:
        if found.reason:
            raise UnknownFactError(found.reason)
        lines = list(judge(found))
    except UnknownFactError as error:
        lines = [unknown(topic, str(error))]
    except (ArithmeticError, ValueError, LookupError) as error:
        lines = [unknown(topic, f"its figures make no sense: {error}")]
    if not (gpu and found.gpu):
        return lines
    return [
        replace(line, state=Readiness.FAIL) if line.state is Readiness.UNKNOWN else line
        for line in lines
    ]
