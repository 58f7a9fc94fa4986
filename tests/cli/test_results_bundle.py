"""``speedtest results bundle`` and ``import``: what they print, write and end with."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from conftest import Call
from fakes.runs import FakeCell, given
from fakes.tampered import members, with_line
from mac_whisper_speedtest.bundle import read
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s


@pytest.fixture
def speedtest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speedtest: Call) -> Call:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    return functools.partial(speedtest, "results")


def test_a_run_is_given_away_and_comes_in_elsewhere(
    tmp_path: Path, speedtest: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = given(tmp_path / "data" / "runs" / "000007")

    wrote = speedtest("bundle", "latest", "-o", tmp_path / "x.zip")
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "elsewhere"))
    first = speedtest("import", tmp_path / "x.zip")
    again = speedtest("import", tmp_path / "x.zip")

    assert (wrote.code, first.code, again.code) == (0, 0, 0)
    assert "run 7" in wrote.out
    assert "word for word" in wrote.out
    assert first.out.endswith("is run 1.\n")
    assert again.out.endswith("is run 1 already.\n")
    assert len(directory.every()) == 1
    assert run.replay().manifest.run_id == directory.find("1").replay().manifest.run_id


def test_public_speech_is_given_away_without_a_word_of_warning(
    tmp_path: Path, speedtest: Call
) -> None:
    wrote = speedtest("bundle", given(tmp_path / "run", public=True).path, "-o", tmp_path / "x.zip")
    assert wrote.code == 0
    assert "recordings" not in wrote.out


def test_leaving_texts_out_says_what_that_costs(tmp_path: Path, speedtest: Call) -> None:
    run = given(tmp_path / "run")
    wrote = speedtest("bundle", run.path, "-o", tmp_path / "x.zip", "--without-texts")
    assert wrote.code == 0
    assert "WER cannot be recomputed" in wrote.out
    assert b"sea shells" not in b"".join(members(tmp_path / "x.zip").values())


def test_several_runs_become_one_file_each(tmp_path: Path, speedtest: Call) -> None:
    runs = [given(tmp_path / f"{number:06d}", number=number).path for number in (1, 2)]

    wrote = speedtest("bundle", *runs, runs[0], "-o", tmp_path / "out")

    assert wrote.code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["run-000001-00000000.zip", "run-000002-00000000.zip"]
    assert (
        read.read_bundle(tmp_path / "out" / "run-000002-00000000.zip").manifest.run_id
        == f"{2:032x}"
    )


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_gets_a_file_for_the_one_run(
    tmp_path: Path, speedtest: Call, exists: bool
) -> None:
    if exists:
        (tmp_path / "out").mkdir()
    speedtest("bundle", given(tmp_path / "000003").path, "-o", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run-000003-00000000.zip"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonesuch", "-o", "x.zip"], "is not a run"),
        (["{run}", "{other}", "-o", "{file}"], "2 runs are 2 bundles"),
        (["{run}", "-o", "{file}"], "a bundle's name ends in .zip"),
        (["{run}"], "--output"),
        (["-o", "x.zip"], "RUN"),
    ],
)
def test_what_cannot_be_bundled_is_the_users_mistake(
    tmp_path: Path, speedtest: Call, arguments: list[str], message: str
) -> None:
    (tmp_path / "file").touch()
    places = {
        "run": given(tmp_path / "run").path,
        "other": given(tmp_path / "other", number=2).path,
        "file": tmp_path / "file",
    }
    answer = speedtest("bundle", *(each.format_map(places) for each in arguments))
    assert answer.code == 2
    assert message in answer.err


def test_a_file_that_is_refused_does_not_stop_the_others(tmp_path: Path, speedtest: Call) -> None:
    speedtest("bundle", given(tmp_path / "run").path, "-o", tmp_path / "x.zip")
    bad = with_line(tmp_path / "x.zip", "sample", seconds=-1.0)
    (tmp_path / "text.zip").write_text("hello", encoding="utf-8")

    answer = speedtest("import", tmp_path / "text.zip", bad, tmp_path / "x.zip")

    assert answer.code == 2
    assert "it is not a zip file" in answer.err
    assert "seconds is -1.0" in answer.err
    assert [run.number for run in directory.every()] == [1]


def test_one_file_that_is_refused_says_why_and_what_to_do(tmp_path: Path, speedtest: Call) -> None:
    (tmp_path / "text.zip").write_text("hello", encoding="utf-8")
    answer = speedtest("import", tmp_path / "text.zip")
    assert answer.code == 2
    assert "text.zip is refused: it is not a zip file" in answer.err
    assert "hint:" in answer.err


def test_a_disk_that_takes_nothing_is_a_matter_of_storage(
    tmp_path: Path, speedtest: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    speedtest("bundle", given(tmp_path / "run").path, "-o", tmp_path / "x.zip")
    (tmp_path / "file").touch()

    wrote = speedtest("bundle", tmp_path / "run", "-o", tmp_path / "file" / "x.zip")
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "file"))
    brought = speedtest("import", tmp_path / "x.zip")

    assert (wrote.code, brought.code) == (5, 5)
    assert "cannot" in wrote.err
    assert "cannot import" in brought.err


def test_nothing_is_written_where_a_name_would_be_given_away(
    tmp_path: Path, speedtest: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mac_whisper_speedtest import privacy

    monkeypatch.setattr(privacy, "_names", lambda: (("annasbox", "<host>"),))
    run = given(tmp_path / "run", backends=[FakeCell("annasbox-whisper")])

    wrote = speedtest("bundle", run.path, "-o", tmp_path / "x.zip")

    assert wrote.code == 2
    assert "would give away a host name" in wrote.err
    assert "annasbox" not in wrote.err
    assert not (tmp_path / "x.zip").exists()
    assert isinstance(run.replay(), s.Run)


def test_a_bundle_is_signed_and_verified(tmp_path: Path, speedtest: Call) -> None:
    path, key = tmp_path / "x.zip", tmp_path / "mine"
    wrote = speedtest("bundle", given(tmp_path / "run").path, "-o", path, "--sign", key)
    assert "Signed it: " in wrote.out

    good = speedtest("verify", path, "--signed-by", f"{key}.pub")
    assert (good.code, "bundle x.zip: good" in good.out) == (0, True)
    assert "note: signed by RW" in good.out

    speedtest("bundle", tmp_path / "run", "-o", path, "--sign", tmp_path / "other")
    bad = speedtest("verify", path, "--signed-by", f"{key}.pub")
    assert (bad.code, "it is not signed by" in bad.out) == (5, True)
