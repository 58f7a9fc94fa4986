"""Precisions and versions of one backend, in runs as real runs name them: nothing mixes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import Call
from fakes.runs import STEADY, FakeCell, run_of, run_of_set, source
from mac_whisper_speedtest.compare import compare, history
from mac_whisper_speedtest.compare import document as d
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.results import directory


def at(level: float, backend: str = "a", **fields: Any) -> FakeCell:
    return FakeCell(backend, rtf=[each * level for each in STEADY], **fields)


def backends(cell: d.CellChange) -> tuple[str, str]:
    assert cell.base is not None
    assert cell.new is not None
    return cell.base.backend, cell.new.backend


def versions(cell: d.CellChange) -> tuple[str | None, str | None]:
    assert cell.base is not None
    assert cell.new is not None
    return cell.base.version, cell.new.version


def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *runs: tuple[FakeCell, ...]) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    for number, cells in enumerate(runs, start=1):
        made = run_of_set(*cells, number=number)
        made.write(directory.runs_dir() / f"{number:06d}")


def test_an_int8_run_is_not_compared_with_a_float_run() -> None:
    int8, plain = source(run_of_set(at(2, "a:int8"))), source(run_of_set(at(1), number=2))
    for base, new in ((int8, plain), (plain, int8)):
        with pytest.raises(UsageError, match="have no backend and model in common: a"):
            compare.compare(base, new)


def test_the_order_in_which_variants_were_named_changes_nothing() -> None:
    first = source(run_of_set(at(1), at(2, "a:int8")))
    swapped = source(run_of_set(at(2, "a:int8"), at(1), number=2))
    found = compare.compare(first, swapped)
    assert {each.label: backends(each) for each in found.cells} == {
        "a": ("a", "a"),
        "a:int8": ("a:int8", "a:int8"),
    }
    assert {each.speed.verdict for each in found.cells if each.speed} == {"SAME"}


def test_versions_are_compared_each_with_itself() -> None:
    cells = (at(1, "a@1.1.1", version="1.1.1"), at(2, "a@1.2.1", version="1.2.1"))
    found = compare.compare(
        source(run_of_set(*cells)), source(run_of_set(*reversed(cells), number=2))
    )
    assert [each.label for each in found.cells] == ["a@1.2.1", "a@1.1.1"]
    assert [versions(each) for each in found.cells] == [
        ("1.2.1", "1.2.1"),
        ("1.1.1", "1.1.1"),
    ]
    assert {each.speed.verdict for each in found.cells if each.speed} == {"SAME"}


def test_a_variant_that_only_one_run_has_is_added_or_missing_and_compared_with_nothing() -> None:
    one, both = source(run_of_set(at(1))), source(run_of_set(at(1), at(2, "a:int8"), number=2))
    states = {each.label: each.state for each in compare.compare(one, both).cells}
    assert states == {"a": d.COMPARED, "a:int8": d.ADDED}
    states = {each.label: each.state for each in compare.compare(both, one).cells}
    assert states == {"a": d.COMPARED, "a:int8": d.MISSING}


def test_versions_that_one_run_compares_have_a_history_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = (at(1, "a@1.1.1", version="1.1.1"), at(2, "a@1.2.1", version="1.2.1"))
    store(tmp_path, monkeypatch, pair, pair[::-1], (at(1),), pair)
    found = history.history("a")
    points = {each.backend: [point.run for point in each.points] for each in found.series}
    assert points == {"a@1.2.1": [1, 2, 4], "a@1.1.1": [1, 2, 4], "a": [3]}
    assert found.left_out == 0
    versions = {
        (each.backend, point.backend_version) for each in found.series for point in each.points
    }
    assert versions == {("a@1.2.1", "1.2.1"), ("a@1.1.1", "1.1.1"), ("a", "1.2.3")}


def test_a_history_of_one_version_has_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = (at(1, "a@1.1.1", version="1.1.1"), at(2, "a@1.2.1", version="1.2.1"))
    store(tmp_path, monkeypatch, pair, pair[:1], (at(1),))
    found = history.history("a@1.1.1")
    assert {point.backend for each in found.series for point in each.points} == {"a@1.1.1"}
    assert [[point.run for point in each.points] for each in found.series] == [[1, 2]]
    with pytest.raises(UsageError, match=r"no run has measured a@1\.3"):
        history.history("a@1.3")


def test_a_history_mixes_no_precisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path, monkeypatch, (at(1), at(2, "a:int8")), (at(2, "a:int8"), at(1)))
    for name in ("a", "a:int8"):
        (series,) = history.history(name).series
        assert {point.backend for point in series.points} == {name}
        assert [point.run for point in series.points] == [1, 2]


@pytest.mark.parametrize("order", [("a", "a:int8", "a@2"), ("a@2", "a:int8", "a")])
def test_diff_and_score_name_every_variant(
    order: tuple[str, ...], tmp_path: Path, speedtest: Call
) -> None:
    texts = {
        "a": "It was the best of times.",
        "a:int8": "It was the rest of times.",
        "a@2": "It was the best of limes.",
    }
    run = run_of(*(FakeCell(each, text=texts[each]) for each in order)).write(tmp_path / "run")

    answer = speedtest("diff", run, "a", "a:int8")
    assert answer.code == 0
    assert "a tiny.en (WER" in answer.out
    assert "and a:int8 tiny.en (WER" in answer.out
    assert "rest" in answer.out
    assert "limes" not in answer.out

    cells = speedtest("score", run, "--json").json["cells"]
    assert sorted(each["backend"] for each in cells) == sorted(order)
    assert len({each["accuracy"]["rate"] for each in cells}) == 2
    first_words = [line.split()[:1] for line in speedtest("score", run).out.splitlines()]
    assert all([name] in first_words for name in order)


def test_a_backend_is_not_diffed_with_itself(tmp_path: Path, speedtest: Call) -> None:
    run = run_of(FakeCell("a"), FakeCell("b")).write(tmp_path / "run")
    answer = speedtest("diff", run, "a", "a")
    assert answer.code == 2
    assert "a is in the run only once" in answer.err
