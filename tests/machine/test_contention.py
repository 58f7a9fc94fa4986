"""Whether other work disturbed a sample: what is tolerated, and what is not."""

from __future__ import annotations

import pytest

from mac_whisper_speedtest.machine import contention
from mac_whisper_speedtest.machine.contention import Outside
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
    assert (
        contention.judge_contention(exactly(taken), cores=cores, threads=threads).disturbed is False
    )


@pytest.mark.parametrize(
    ("taken", "cores", "threads"), [(0.9, 2, 2), (0.95, 2, 1), (1.0, 8, 8), (1.0, 64, 64)]
)
def test_one_program_that_takes_a_core_is_flagged(taken: float, cores: int, threads: int) -> None:
    judged = contention.judge_contention(exactly(taken), cores=cores, threads=threads)
    assert judged.disturbed is True
    assert f"{taken:.2f} cores" in judged.words


def test_work_that_fits_on_the_cores_left_over_is_not_flagged() -> None:
    assert contention.judge_contention(exactly(1.0), cores=16, threads=4).disturbed is False
    assert contention.judge_contention(exactly(8.0), cores=16, threads=4).disturbed is True


def test_a_span_too_short_for_the_ticks_is_neither() -> None:
    short = Outside(cpu_s=0.005, wall_s=0.05, resolution_s=0.024)
    judged = contention.judge_contention(short, cores=2, threads=2)
    assert judged.disturbed is None
    assert "too short to judge" in judged.words


def test_a_short_span_is_judged_where_both_ends_of_the_error_agree() -> None:
    hogged = Outside(cpu_s=0.1, wall_s=0.1, resolution_s=0.024)
    assert contention.judge_contention(hogged, cores=2, threads=2).disturbed is True
    wide = Outside(cpu_s=0.0, wall_s=0.3, resolution_s=0.024)
    assert contention.judge_contention(wide, cores=2, threads=2).disturbed is False


@pytest.mark.parametrize(
    ("device", "threads", "busy"),
    [
        ("cpu", 8, 8),
        ("", 8, 8),  # it does not say
        ("metal", 8, 2),
        ("mps", 1, 1),
        ("cuda:0", 16, 2),
        ("CUDA:1", 16, 2),
        ("ane", 4, 2),
        ("coreml", 4, 4),  # may be the CPU
    ],
)
def test_what_runs_on_a_device_has_two_threads_that_can_be_disturbed(
    device: str, threads: int, busy: int
) -> None:
    assert contention.busy_threads(threads, device) == busy


@pytest.mark.parametrize(
    ("chip", "fast", "cpu_limit", "gpu_limit"),
    [
        ("M1 to M5", 4, 0.2, 1.2),
        ("M4 Pro", 10, 0.5, 4.5),
        ("M5 Pro", 15, 0.5, 7.0),
        ("M2 Ultra", 16, 0.5, 7.5),
        ("two cores, not a Mac", 2, 0.1, 0.1),
    ],
)
def test_the_limits_by_chip_and_device_are(
    chip: str, fast: int, cpu_limit: float, gpu_limit: float
) -> None:
    for device, expected in (("cpu", cpu_limit), ("gpu", gpu_limit)):
        threads = contention.busy_threads(fast, device)
        assert contention.limit(cores=fast, threads=threads) == pytest.approx(expected)


def test_no_time_is_no_judgment() -> None:
    assert (
        contention.judge_contention(Outside(0.0, 0.0, 0.02), cores=2, threads=2).disturbed is None
    )


def test_a_figure_that_was_not_metered_is_a_reason() -> None:
    readings = {
        "disturbing_s": Reading(None, "s", "the worker was gone"),
        "wall_s": Reading(1.0, "s"),
        "cpu_resolution_s": Reading(0.02, "s"),
    }
    assert contention.outside_work(readings) == "the worker was gone"
    assert contention.outside_work({}) == "disturbing_s was not metered"
    readings["disturbing_s"] = Reading(0.5, "s")
    assert contention.outside_work(readings) == Outside(0.5, 1.0, 0.02)
