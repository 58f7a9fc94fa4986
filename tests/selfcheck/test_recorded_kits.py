"""Kits of real machines, judged again: as they are, and with failures planted into them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mac_whisper_speedtest.doctor.lines import Readiness
from mac_whisper_speedtest.selfcheck.checks import judged
from mac_whisper_speedtest.selfcheck.kit import Kit, read_kit

ROOT = Path(__file__).parents[2]
KITS = sorted((ROOT / "tests/fixtures/kits").glob("*.zip"))
LINUX = ROOT / "tests/fixtures/kits/linux-2026-11-30.zip"
QUIET = {"load_average": [0.1], "outside_s": [0.0] * 10}


def failures(kit: Kit) -> set[str]:
    return {line.topic for line in judged(kit).lines if line.state is Readiness.FAIL}


@pytest.mark.parametrize("path", KITS, ids=lambda path: path.stem)
def test_no_line_of_a_recorded_kit_fails_or_makes_no_sense(path: Path) -> None:
    kit = read_kit(path)
    assert failures(kit) == set()
    assert not [line for line in judged(kit).lines if "figures are invalid" in line.seen]
    assert path.stem in (ROOT / "docs" / "explanation" / "trust.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("check", "subject", "values", "texts", "topic"),
    [
        ("processor worker", "", {"cpu_s": [0.048] * 3}, {}, "a worker's work"),
        ("processor stranger", "", {"outside_cpu_s": [0.0] * 3}, {}, "another program"),
        ("memory", "numpy", {"after_guard_bytes": [4e7]}, {}, "memory: numpy"),
        ("ending", "SIGSEGV", {"left": [1.0]}, {}, "ending: SIGSEGV"),
        ("ending", "exit", {}, {"status": "ok"}, "ending: exit"),
        ("ending", "memory", {}, {"class": "SIGKILL"}, "ending: memory"),
        ("clock", "", {"step_s": [0.015]}, {}, "clock"),
        ("cost", "", {"tree": [3.0]}, {}, "cost of tree"),
        ("backend", "whisper.cpp on cpu", {}, {"device": "blas"}, "whisper.cpp on cpu: device"),
        ("backend", "whisper.cpp on cpu", {}, {"text": "you"}, "whisper.cpp on cpu: text"),
        ("backend", "whisper.cpp on cpu", {}, {"status": "crashed"}, "whisper.cpp on cpu"),
        ("backend", "faster-whisper on cpu", {"busy_after_s": [0.5]}, {},
         "faster-whisper on cpu: idle after"),
        ("backend", "faster-whisper on cpu", {"calls_wall_s": [999.0] * 10}, {},
         "faster-whisper on cpu: overhead"),
    ],
)  # fmt: skip
def test_a_planted_failure_is_found_at_its_line(
    check: str,
    subject: str,
    values: dict[str, list[float]],
    texts: dict[str, str],
    topic: str,
) -> None:
    kit = read_kit(LINUX)
    planted = []
    for each in kit.measurements:
        if (each.check, each.subject) == (check, subject):
            known = {name: each.values[name] for name in each.values}
            changed = {name: new[: len(known.get(name, new))] for name, new in values.items()}
            quiet = {name: new for name, new in QUIET.items() if name in known}
            each = msgspec.structs.replace(  # noqa: PLW2901 - the same, with a fault
                each, values=known | quiet | changed, texts=each.texts | texts
            )
        planted.append(each)
    assert planted != kit.measurements
    assert failures(msgspec.structs.replace(kit, measurements=planted)) == {topic}
    # With --gpu, what this machine does not have is a failure.
    assert "gpu" in failures(msgspec.structs.replace(kit, gpu=True))
