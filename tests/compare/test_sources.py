"""Finding the runs to compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.runs import STEADY, FakeCell, FakeRun, run_of_set, stored
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.compare import compare, sources
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.request import settings_of
from mac_whisper_speedtest.results import digests, directory
from mac_whisper_speedtest.summary import summarize

Keep = Callable[..., FakeRun]


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keep:
    """Write a run into a store of its own."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))

    def write(number: int, *cells: FakeCell, **changes: Any) -> FakeRun:
        made = run_of_set(*(cells or [FakeCell("a", rtf=STEADY)]), number=number, **changes)
        made.write(directory.runs_dir() / f"{number:06d}")
        return made

    return write


def test_a_run_is_found_by_number_tag_id_latest_and_path(keep: Keep) -> None:
    keep(1, tags=["base"])
    last = keep(2, run_id="abcdef0123456789" * 2)
    for name in ("2", "latest", "abcdef01", str(directory.runs_dir() / "000002")):
        found = sources.load(name)
        assert (found.label, found.run.manifest.run) == ("2", 2)
        assert found.run.manifest.run_id == last.manifest.run_id
        assert found.directory is not None
    assert sources.load("base").label == "1"


def test_what_is_loaded_has_its_figures(keep: Keep) -> None:
    keep(1)
    (cell,) = sources.load("1").run.cells
    assert cell.summary is not None
    assert cell.summary.rtfx == pytest.approx(10, rel=0.01)


def test_figures_of_a_sealed_run_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run = stored()
    computed = summarize.summarize(run.replay())
    monkeypatch.delattr(summarize, "summarize")
    assert sources.load(str(run.path)).run == computed
    assert sources.replayed(str(run.path)).run == computed


def test_an_edited_seal_shows_nothing_even_with_a_digest_that_was_made_to_fit() -> None:
    run = stored()
    computed = summarize.summarize(run.replay())
    content = json.loads(run.sealed_path.read_bytes())
    content["cells"][0]["summary"]["median_s"] /= 2
    run.sealed_path.write_text(json.dumps(content), encoding="utf-8")
    content["digests"]["run"] = digests.of_run(run.sealed_path.read_bytes())
    run.sealed_path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    assert sources.load(str(run.path)).run == computed


def test_a_run_elsewhere_is_called_by_its_folder(keep: Keep, tmp_path: Path) -> None:
    run_of_set(FakeCell("a")).write(tmp_path / "from-ci")
    assert sources.load(str(tmp_path / "from-ci")).label == "from-ci"


def test_a_bundle_that_is_not_there_is_said_to_be_so(keep: Keep, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no bundle"):
        sources.load(str(tmp_path / "none.zip"))


def test_a_bundle_is_read_like_the_run_it_was_made_of(keep: Keep, tmp_path: Path) -> None:
    from mac_whisper_speedtest.bundle import write

    keep(1)
    keep(2)
    write.write_bundle(directory.find("2"), tmp_path / "x.zip")
    found = sources.load(str(tmp_path / "x.zip"))
    assert (found.label, found.directory) == ("x.zip", None)
    (cell,) = compare.compare(sources.load("1"), found).cells
    assert cell.speed is not None
    assert cell.speed.ratio is not None
    assert cell.speed.ratio.estimate == 1


def test_a_run_and_its_bundle_are_the_same_run_and_not_compared(keep: Keep, tmp_path: Path) -> None:
    from mac_whisper_speedtest.bundle import write

    keep(1)
    write.write_bundle(directory.find("1"), tmp_path / "x.zip")
    with pytest.raises(UsageError, match=r"nothing to compare: both names are run x\.zip"):
        compare.compare(sources.load("1"), sources.load(str(tmp_path / "x.zip")))


def test_texts_are_compared_by_what_was_heard_since_a_bundle_has_other_names(
    keep: Keep, tmp_path: Path
) -> None:
    from mac_whisper_speedtest.bundle import write

    keep(1)
    keep(2, FakeCell("a", text={"u2": "by the sea floor"}))
    write.write_bundle(directory.find("2"), tmp_path / "x.zip")
    found = sources.load(str(tmp_path / "x.zip"))
    assert found.run.manifest.clips[0].utterances[1].name != "u2"
    (cell,) = compare.compare(sources.load("1"), found).cells
    assert cell.texts is not None
    assert cell.texts.same == 1
    assert cell.accuracy is not None
    assert cell.accuracy.delta == pytest.approx(1 / 8)


def test_texts_that_were_left_out_of_a_bundle_are_not_compared(keep: Keep, tmp_path: Path) -> None:
    from mac_whisper_speedtest.bundle import write

    keep(1)
    keep(2)
    write.write_bundle(directory.find("2"), tmp_path / "x.zip", texts=False)
    found = sources.load(str(tmp_path / "x.zip"))
    (cell,) = compare.compare(sources.load("1"), found).cells
    assert cell.texts is None
    assert cell.accuracy is not None
    assert (cell.accuracy.verdict, cell.accuracy.base_rate) == ("", None)
    assert "left out" in cell.accuracy.how


def test_previous_comparable_says_where_it_belongs(keep: Keep) -> None:
    with pytest.raises(UsageError, match="previous-comparable") as caught:
        sources.load("previous-comparable")
    assert "compare previous-comparable latest" in caught.value.hint


def test_previous_comparable_is_the_newest_earlier_run_that_compares(keep: Keep) -> None:
    keep(1)
    keep(2)
    keep(3)
    keep(4, machine={"cpu": "Another"})
    keep(5, FakeCell("b"))
    new = keep(6, FakeCell("a@2"))
    keep(7)
    assert sources.load_previous_comparable(new.manifest).label == "3"


def test_a_run_whose_common_cells_all_failed_is_passed_over(keep: Keep) -> None:
    keep(1)
    keep(2, FakeCell("a", ending="failed", message="no"))
    new = keep(3)
    assert sources.load_previous_comparable(new.manifest).label == "1"


def test_of_a_run_from_elsewhere_every_run_here_is_earlier(keep: Keep) -> None:
    keep(1)
    keep(2)
    elsewhere = run_of_set(FakeCell("a"), number=1, run_id="e" * 32)
    assert sources.load_previous_comparable(elsewhere.manifest).label == "2"


def test_a_run_that_was_imported_is_as_late_as_its_number_here(keep: Keep) -> None:
    keep(1)
    keep(2, run=7, run_id="e" * 32)
    imported = sources.load("2").run.manifest
    keep(3)
    assert sources.load_previous_comparable(imported).label == "1"


def test_what_the_nearest_run_differs_in_is_named(keep: Keep) -> None:
    keep(1)
    machine, request = {"cpu": "Another"}, {"contract": settings_of(DecodeContract(beam_size=5))}
    keep(2, machine=machine, request=request)
    keep(3, machine=machine)
    new = run_of_set(FakeCell("a"), number=9, run_id="e" * 32, request=request)
    with pytest.raises(UsageError) as caught:
        sources.load_previous_comparable(new.manifest)
    assert "in the nearest, run 2," in caught.value.message
    assert "the hardware differs" in caught.value.message
    assert "contract" not in caught.value.message
    assert "compare 2 NEW --anyway" in caught.value.hint


def test_a_first_run_has_no_previous_one(keep: Keep) -> None:
    new = keep(1)
    with pytest.raises(UsageError, match="no earlier run"):
        sources.load_previous_comparable(new.manifest)


def test_a_damaged_manifest_is_passed_over(keep: Keep) -> None:
    keep(1)
    keep(2)
    new = keep(3)
    (directory.runs_dir() / "000002" / "manifest.json").write_text("{", encoding="utf-8")
    assert sources.load_previous_comparable(new.manifest).label == "1"
