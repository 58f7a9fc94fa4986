"""One backend over the runs of a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.runs import STEADY, FakeCell, FakeRun, run_of_set
from mac_whisper_speedtest.compare import history
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.results import directory

Keep = Callable[..., None]
LEVELS = (1.0, 1.01, 0.99, 1.005, 1.2, 1.21, 1.19, 1.205)


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keep:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))

    def write(number: int, *cells: FakeCell, **changes: Any) -> None:
        made = run_of_set(*cells, number=number, **changes)
        made.write(directory.runs_dir() / f"{number:06d}")

    return write


def at(level: float, backend: str = "a", **fields: Any) -> FakeCell:
    return FakeCell(backend, rtf=[each * level for each in STEADY], **fields)


def test_a_change_is_found_and_what_changed_with_it_is_named(keep: Keep) -> None:
    for number, level in enumerate(LEVELS, start=1):
        version = "1.1" if number < 5 else "1.2"
        keep(number, at(level, f"a@{version}", version=version))
    (series,) = history.history("a").series
    assert [point.run for point in series.points] == list(range(1, 9))
    assert series.points[0].rtf == pytest.approx(0.1, rel=0.01)
    (change,) = series.changes
    assert (change.before, change.run, change.verdict) == (4, 5, "SLOWER")
    assert change.ratio.estimate == pytest.approx(1.2, rel=0.02)
    assert [(each.name, each.base, each.new) for each in change.facts] == [
        ("version", "1.1", "1.2")
    ]


def test_runs_are_in_the_order_of_their_numbers_whatever_the_clock_said(keep: Keep) -> None:
    keep(1, at(1), started_at="2027-01-01T00:00:00+00:00")
    keep(2, at(1), started_at="2020-01-01T00:00:00+00:00")
    (series,) = history.history("a").series
    assert [point.run for point in series.points] == [1, 2]


def test_runs_that_do_not_compare_are_series_of_their_own(keep: Keep) -> None:
    keep(1, at(1))
    keep(2, at(1), machine={"cpu": "Another"})
    keep(3, at(1), request={"threads": 8})
    keep(4, at(1))
    found = history.history("a")
    assert [[point.run for point in each.points] for each in found.series] == [[1, 4], [3], [2]]
    assert "8 threads" in found.series[1].settings


def test_a_precision_is_a_backend_of_its_own_and_a_version_is_not(keep: Keep) -> None:
    keep(1, at(1), at(1, "a:int8"))
    keep(2, at(1, "a@2"), at(1, "a@2:int8"))
    for name in ("a", "a:int8"):
        (series,) = history.history(name).series
        assert series.backend == name
        assert [point.run for point in series.points] == [1, 2]


def test_failed_cells_are_left_out_and_counted(keep: Keep) -> None:
    keep(1, at(1))
    keep(2, FakeCell("a", ending="failed", message="no"))
    found = history.history("a")
    assert found.left_out == 1
    assert [len(each.points) for each in found.series] == [1]


def test_a_run_counts_once_however_often_it_measured_the_cell(keep: Keep) -> None:
    made = run_of_set(at(1), at(1, "b"), number=1)
    plans = [msgspec.structs.replace(each, backend="a") for each in made.manifest.cells]
    twice = FakeRun(msgspec.structs.replace(made.manifest, cells=plans), made.events)
    keep(1, at(1))
    twice.write(directory.runs_dir() / "000002")
    (series,) = history.history("a").series
    assert [point.run for point in series.points] == [1, 2]


def test_only_the_newest_runs_are_looked_at_where_a_limit_is_set(keep: Keep) -> None:
    for number in range(1, 5):
        keep(number, at(1))
    (series,) = history.history("a", limit=2).series
    assert [point.run for point in series.points] == [3, 4]


def test_a_backend_or_model_that_no_run_has_is_said_with_those_that_are_there(keep: Keep) -> None:
    keep(1, at(1))
    with pytest.raises(UsageError, match="no run has measured b") as caught:
        history.history("b")
    assert caught.value.hint == "known: a (speedtest results list)"
    with pytest.raises(UsageError, match="model large"):
        history.history("a", model="large")
    with pytest.raises(UsageError, match="contract none"):
        history.history("a", contract="none")
