"""Whether other work disturbed a sample: what is tolerated, and what is not."""

from __future__ import annotations

import pytest

from mac_whisper_speedtest.machine import cpu
from mac_whisper_speedtest.machine.cpu import Outside
from mac_whisper_speedtest.machine.probe import Reading


def exactly(cores_taken: float) -> Outside:
    return Outside(cpu_s=10 * cores_taken, wall_s=10.0, resolution_s=0.03)


@pytest.mark.parametrize(
    ("taken", "cores", "threads"),
    [
        (0.04, 2, 2),  # a small virtual machine that idles
        (0.3, 8, 8),  # a desktop's daemons
        (0.4, 64, 64),
        (0.5, 2, 1),  # half of a core that the backend does not use
    ],
)
def test_an_idle_background_is_not_flagged(taken: float, cores: int, threads: int) -> None:
    assert cpu.judge_contention(exactly(taken), cores=cores, threads=threads).disturbed is False


@pytest.mark.parametrize(
    ("taken", "cores", "threads"), [(0.9, 2, 2), (0.95, 2, 1), (1.0, 8, 8), (1.0, 64, 64)]
)
def test_one_program_that_takes_a_core_is_flagged(taken: float, cores: int, threads: int) -> None:
    judged = cpu.judge_contention(exactly(taken), cores=cores, threads=threads)
    assert judged.disturbed is True
    assert f"{taken:.2f} cores" in judged.words


def test_work_that_fits_on_the_cores_left_over_is_not_flagged() -> None:
    assert cpu.judge_contention(exactly(1.0), cores=16, threads=4).disturbed is False
    assert cpu.judge_contention(exactly(8.0), cores=16, threads=4).disturbed is True


def test_a_span_too_short_for_the_ticks_is_neither() -> None:
    short = Outside(cpu_s=0.005, wall_s=0.05, resolution_s=0.024)
    judged = cpu.judge_contention(short, cores=2, threads=2)
    assert judged.disturbed is None
    assert "too short to judge" in judged.words


def test_a_short_span_is_judged_where_both_ends_of_the_error_agree() -> None:
    hogged = Outside(cpu_s=0.1, wall_s=0.1, resolution_s=0.024)
    assert cpu.judge_contention(hogged, cores=2, threads=2).disturbed is True
    wide = Outside(cpu_s=0.0, wall_s=0.3, resolution_s=0.024)
    assert cpu.judge_contention(wide, cores=2, threads=2).disturbed is False


def test_short_spans_together_make_one_that_can_be_judged() -> None:
    short = Outside(cpu_s=0.04, wall_s=0.05, resolution_s=0.002)
    assert cpu.combine([]) is None
    joined = cpu.combine([short] * 20)
    assert joined is not None
    assert joined.cores == pytest.approx(0.8)
    assert joined.resolution_s == pytest.approx(0.04)
    assert cpu.judge_contention(joined, cores=2, threads=2).disturbed is True


def test_no_time_is_no_judgment() -> None:
    assert cpu.judge_contention(Outside(0.0, 0.0, 0.02), cores=2, threads=2).disturbed is None


def test_a_figure_that_was_not_metered_is_a_reason() -> None:
    readings = {
        "outside_cpu_s": Reading(None, "s", "the worker was gone"),
        "wall_s": Reading(1.0, "s"),
        "cpu_resolution_s": Reading(0.02, "s"),
    }
    assert cpu.outside_work(readings) == "the worker was gone"
    assert cpu.outside_work({}) == "outside_cpu_s was not metered"
    readings["outside_cpu_s"] = Reading(0.5, "s")
    assert cpu.outside_work(readings) == Outside(0.5, 1.0, 0.02)
