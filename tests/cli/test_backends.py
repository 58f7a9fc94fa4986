"""``speedtest backends``: what is shown, and that every call says what it did or did not do."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Call
from environments.test_environments import away_from_every_index, lock_for, wheel
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.environments import locks

TINY = Recipe("tiny", "tiny-lib", "1.0", platforms=(sys.platform,), notes=("does nothing",))
BACKENDS = (
    Backend("tiny", adapter="x:X", import_name="tiny_lib", recipe=TINY, summary="a small one"),
    Backend("tiny-too", adapter="x:Y", import_name="tiny_lib", recipe=TINY),
    Backend(
        "other",
        adapter="x:Z",
        import_name="other_lib",
        recipe=Recipe("other", "other-lib", "1.0", platforms=("beos",)),
    ),
    Backend("plain", adapter="x:P", import_name="no_such_module"),
)


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Only these backends, and a folder of wheels in the place of an index."""
    folder = away_from_every_index(tmp_path, monkeypatch)
    monkeypatch.setattr(registry, "installed", lambda: {each.name: each for each in BACKENDS})
    lock_for(wheel(folder, "1.0"), "1.0")
    return folder


@pytest.fixture
def backends(speedtest: Call) -> Call:
    """Call ``speedtest backends``."""
    return functools.partial(speedtest, "backends")


def test_installing_shows_up_in_list_and_info_and_goes_with_remove(backends: Call) -> None:
    def facts(*arguments: str) -> Any:
        return backends(*arguments, "--json").json

    assert [each["runs_from"] for each in facts("list")] == [
        *["not installed"] * 2,
        "beos only",
        "not installed",
    ]
    code, out, err = backends("install", "tiny", "tiny-too", "tiny@1.0")
    assert code == 0
    assert out.splitlines() == ["tiny 1.0 is installed in its own environment"] * 2
    assert err.count("downloading and installing") == 1
    assert [each["runs_from"] for each in facts("list")] == [
        *["own environment"] * 2,
        "beos only",
        "not installed",
    ]
    told = facts("info", "tiny")
    assert (told["version"], told["default"], told["locked"]) == ("1.0", "1.0", ["1.0"])
    assert told["installed"][0]["size_bytes"] > 0
    assert told["this_python_fits"] is True
    assert facts("info", "tiny@2.0")["runs_from"] == "not installed"
    code, out, _ = backends("remove", "tiny")
    assert code == 0
    assert "tiny 1.0: removed" in out
    assert "bytes) freed" in out
    assert facts("info", "tiny")["installed"] == []


def test_info_is_readable_and_shows_the_home_folder_as_a_tilde(
    backends: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    backends("install", "tiny")
    _, out, _ = backends("info", "tiny")
    lines = dict(line.split("  ", 1) for line in out.splitlines() if not line.startswith(" "))
    assert lines["what"].strip() == "a small one"
    assert lines["runs from"].strip() == "own environment"
    assert lines["path"].strip().startswith("~/cache/envs/tiny@1.0-py")
    assert lines["this python fits"].strip() == "yes"
    assert lines["notes"].strip() == "does nothing"
    assert str(tmp_path) not in out


def test_the_table_has_the_version_and_the_place(backends: Call) -> None:
    code, out, _ = backends("list")
    assert code == 0
    assert "version" in out.splitlines()[0]
    (row,) = [line for line in out.splitlines() if line.startswith("tiny ")]
    assert "1.0" in row
    assert "not installed" in row


def test_removing_what_is_not_there_is_said_and_is_no_error(backends: Call) -> None:
    code, out, _ = backends("remove", "tiny@3.0", "other")
    assert code == 0
    assert out.splitlines() == [
        "tiny 3.0: there is no environment of it",
        "other: there is no environment of it",
    ]


def test_locks_of_the_user_s_stay_unless_asked_for(backends: Call) -> None:
    backends("remove", "--all")
    assert locks.versions(TINY) == ["1.0"]
    _, out, _ = backends("remove", "tiny", "--locks")
    assert "tiny 1.0: removed your lock" in out
    assert locks.versions(TINY) == []


def test_all_installs_what_is_for_this_machine_and_says_what_it_leaves_out(
    backends: Call,
) -> None:
    code, out, err = backends("install", "--all")
    assert code == 0
    assert out == "tiny 1.0 is installed in its own environment\n"
    assert "other: left out: beos only" in err


def test_all_leaves_out_what_is_too_large(backends: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    large = Recipe("tiny", "tiny-lib", "1.0", platforms=(sys.platform,), size_bytes=3 * 10**9)
    monkeypatch.setattr(registry, "installed", lambda: {"tiny": Backend("tiny", recipe=large)})
    code, out, err = backends("install", "--all", "--max-size", "2GB")
    assert (code, out) == (0, "")
    assert "tiny: left out: 3.0 GB is more than 2.0 GB" in err


def test_all_goes_on_after_one_that_fails_and_ends_with_its_exit_code(
    backends: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Recipe("bad", "no-such-lib", "1.0", platforms=(sys.platform,))
    both = {"bad": Backend("bad", recipe=bad), "tiny": BACKENDS[0]}
    monkeypatch.setattr(registry, "installed", lambda: both)
    code, out, err = backends("install", "--all")
    assert code == 2
    assert "tiny 1.0 is installed" in out
    assert "bad: not installed: no-such-lib 1.0 cannot be locked" in err


def test_upgrade_goes_to_the_newest_release_and_says_from_which(
    backends: Call, wheels: Path
) -> None:
    _, out, _ = backends("upgrade", "tiny")
    assert out == "tiny: nothing to do, 1.0 is the newest release\n"
    wheel(wheels, "2.0")
    code, out, _ = backends("upgrade", "tiny")
    assert (code, out) == (0, "tiny: upgraded from 1.0 to 2.0\n")
    told = backends("info", "tiny", "--json").json
    assert (told["version"], told["runs_from"]) == ("2.0", "own environment")


def test_an_upgrade_that_cannot_be_installed_changes_nothing(backends: Call, wheels: Path) -> None:
    wheel(wheels, "2.0")
    lock = locks.Lock("tiny", "2.0", "tiny-lib==2.0 --hash=sha256:" + "0" * 64 + "\n")
    locks.save(lock)
    code, _, err = backends("upgrade", "tiny")
    assert code == 2
    assert "uv pip failed" in err
    assert locks.default_version(TINY) == "1.0"


def test_lock_only_makes_a_lock_and_says_where_it_is(
    backends: Call, wheels: Path, tmp_path: Path
) -> None:
    wheel(wheels, "2.0")
    code, out, _ = backends("lock", "tiny@2.0")
    assert code == 0
    assert out == f"tiny 2.0: 1 packages locked in {tmp_path}/data/locks/tiny@2.0.txt\n"
    backends("lock", "tiny@2.0", "--output", str(tmp_path / "mine.txt"))
    assert (tmp_path / "mine.txt").read_text() == (tmp_path / "data/locks/tiny@2.0.txt").read_text()
    assert not (tmp_path / "cache" / "envs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["install"], "no backend was named: give names, or --all"),
        (["install", "--all", "tiny"], "no backend was named: give names, or --all"),
        (["install", "plain"], "the tool has no lock for 'plain'"),
        (["install", "plain@1"], "only backends with a recipe have versions"),
        (["install", "tiny:int8"], "tiny:int8: an environment has no precision"),
        (["install", "other"], "other: beos only"),
        (["install", "tiny", "--build", "cuda"], "--build is 'cuda'"),
        (["install", "tiny", "--max-size", "1GB"], "--max-size is for --all"),
        (["install", "--all", "--max-size", "much"], "--max-size is 'much', not a size"),
        (["upgrade", "tiny@2.0"], "upgrade goes to the newest release, not to 2.0"),
        (["lock", "tiny", "tiny@1.0", "--output", "x"], "--output is one file"),
        (["lock", "--shipped", "tiny"], "--shipped takes no names"),
        (["info", "tiny@x"], "'x' is not a version of tiny"),
    ],
)
def test_a_call_that_makes_no_sense_changes_nothing(
    backends: Call, arguments: list[str], message: str, tmp_path: Path
) -> None:
    code, out, err = backends(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "cache").exists()
