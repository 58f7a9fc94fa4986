"""``speedtest selfcheck`` as people call it; what it measures is in tests/selfcheck."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import FAKES, Tool
from fakes.kits import kit_of
from fakes.simulated_mac import SimulatedMac
from mac_whisper_speedtest.cli.doctor import print_checkup
from mac_whisper_speedtest.errors import ExitCode
from mac_whisper_speedtest.report.console import TextConsole
from mac_whisper_speedtest.selfcheck.bench import Figures, measurement, not_measured
from mac_whisper_speedtest.selfcheck.checks import judged
from mac_whisper_speedtest.selfcheck.kit import read_kit, write_kit

RIGHT = measurement("clock", {"step_s": 4e-8})
PLANTED = [
    RIGHT,
    measurement("ending", {"started": 2, "left": 1, "marked": 1}, subject="killed"),
    not_measured("energy gpu", "no installed library sees a GPU", gpu=True),
]


def test_planted_failures_are_read_at_their_lines(tool: Tool, tmp_path: Path) -> None:
    write_kit(kit_of(*PLANTED), tmp_path / "kit.zip")
    called = tool("selfcheck", "show", tmp_path / "kit.zip")
    assert called.returncode == ExitCode.UNFIT, called
    (left,) = [row for row in called.stdout.splitlines() if row.startswith("FAIL")]
    assert "ending: killed" in left
    assert "1 of 2 orphans left (limit 0)" in left
    assert any(row.startswith("PASS") and "clock" in row for row in called.stdout.splitlines())
    assert called.stdout.splitlines()[-1].startswith("failed: ")


def test_programs_get_the_verdicts_as_json(tool: Tool, tmp_path: Path) -> None:
    write_kit(kit_of(*PLANTED, gpu=True), tmp_path / "kit.zip")
    document = tool("selfcheck", "show", tmp_path / "kit.zip", "--json").run
    assert not document["passed"]
    verdicts = {line["topic"]: line["verdict"] for line in document["lines"]}
    assert (verdicts["clock"], verdicts["ending: killed"]) == ("PASS", "FAIL")
    assert verdicts["energy gpu"] == "FAIL"  # with --gpu


def test_a_kit_without_failures_ends_well(tool: Tool, tmp_path: Path) -> None:
    write_kit(kit_of(RIGHT), tmp_path / "kit.zip")
    called = tool("selfcheck", "show", tmp_path / "kit.zip")
    assert called.returncode == ExitCode.OK
    assert called.stdout.splitlines()[-1].startswith("passed: ")


def test_wrong_calls_are_refused_before_anything_is_measured(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip file")
    for arguments, why in (
        (("-o", tmp_path), "it is a folder"),
        (("-o", tmp_path / "none" / "kit.zip"), "there is no folder"),
        (("show", tmp_path / "text.zip"), "is no kit"),
        (("show", tmp_path / "none.zip"), "no file"),
    ):
        called = tool("selfcheck", *arguments)
        assert called.returncode == ExitCode.USAGE, called
        assert why in called.stderr


def test_a_page_fits_into_80_columns() -> None:
    name = "faster-whisper-batched on cpu"
    slow = [3.0, 2.0, 1.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    cell: Figures = {
        "status": "ok", "asked": "cpu", "device": "cpu", "precision": "int8", "text": "a word",
        "reference": "a word", "warmups_s": [2.0], "calls_s": slow, "calls_wall_s": slow,
        "outside_s": [0.0] * 8, "busy_after_s": 0.0,
    }  # fmt: skip
    written = io.StringIO()
    screen = TextConsole(file=written, width=80, force_terminal=True, color_system=None)
    print_checkup(judged(kit_of(measurement("backend", cell, subject=name))), screen)
    rows = [row.rstrip() for row in written.getvalue().splitlines()]
    assert max(map(len, rows)) <= 80
    assert any("steady from call" in row for row in rows)


SCRIPT = """
import sys
from mac_whisper_speedtest import interrupts
from mac_whisper_speedtest.cli import main
interrupts.handle_for_good()
from mac_whisper_speedtest.selfcheck import backends, checks
checks.CHECKS = tuple(each for each in checks.CHECKS if each.name in sys.argv[1].split(","))
backends.targets = lambda **_: iter(())
sys.argv = ["speedtest", *sys.argv[2:]]
sys.exit(main())
"""


WAITS = """
import dataclasses, time
*others, last = checks.CHECKS
wait = dataclasses.replace(last, question="awake?", measure=lambda bench: time.sleep(60))
checks.CHECKS = (*others, wait)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="simulates a Mac on Linux")
def test_a_simulated_mac_is_described_and_its_faults_are_found(tool: Tool, tmp_path: Path) -> None:
    machine = SimulatedMac(tmp_path / "mac", macos="26.1", build="25B78")
    path = os.pathsep.join([str(FAKES / "mac"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = tool.environment | machine.variables() | {"PYTHONPATH": path}
    kit = tmp_path / "kit.zip"
    arguments = ["identity,memory,clock,awake", "selfcheck", "-o", kit]
    called = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        capture_output=True, text=True, check=False, env=environment, timeout=120,
    )  # fmt: skip
    assert called.returncode == ExitCode.UNFIT, called
    rows = called.stdout.splitlines()
    assert any(row.startswith("PASS") and "version of macOS" in row for row in rows)
    # It has another number of cores than this machine, and a footprint of twice what is there.
    (chip,) = [row for row in rows if "chip" in row]
    assert chip.startswith("FAIL"), chip
    assert "Apple M1: 4 Performance, 4 Efficiency cores, but" in chip
    (numpy,) = [row for row in rows if "memory: numpy" in row]
    assert numpy.startswith("FAIL"), numpy
    assert "footprint +2.00" in numpy
    again = tool("selfcheck", "show", kit).stdout.splitlines()
    failures = [[row.split() for row in page if row.startswith("FAIL")] for page in (rows, again)]
    assert failures[0] == failures[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_shows_and_writes_what_was_found(
    tool: Tool, tmp_path: Path, number: int
) -> None:
    kit = tmp_path / "kit.zip"
    waiting = SCRIPT.replace("sys.argv = [", f"{WAITS}\nsys.argv = [", 1)
    with subprocess.Popen(
        [sys.executable, "-c", waiting, "identity,clock,awake", "selfcheck", "-o", str(kit)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=tool.environment,
    ) as called:  # fmt: skip
        assert called.stderr is not None
        for line in called.stderr:
            if "awake" in line:
                break
        called.send_signal(number)
        stdout, _ = called.communicate(timeout=60)
    assert called.returncode == ExitCode.INTERRUPTED
    rows = stdout.splitlines()
    assert any(row.startswith("PASS") and "clock" in row for row in rows)
    assert any(row.startswith("NOT KNOWN") and "interrupted" in row for row in rows)
    assert rows[-1].startswith("interrupted: ")
    assert read_kit(kit).interrupted
    assert {each.check for each in read_kit(kit).measurements} >= {"identity", "clock"}
