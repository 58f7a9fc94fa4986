"""Every command that writes a file, on a disk that is full before or while it writes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import Call
from fakes import disks
from fakes.parks import machine
from fakes.runs import stored
from mac_whisper_speedtest.bundle import write
from mac_whisper_speedtest.export.files import FORMATS
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.store import verify

FILES = [f"x.{name}" for name in FORMATS if name != "parquet" or find_spec("pyarrow")]
WRITING = {
    "bundle": ("results", "bundle", "RUN", "-o", "x.zip"),
    "report": ("report", "RUN", "-o", "x.html"),
    "trace": ("trace", "RUN", "-o", "x.trace.json"),
    "leaderboard": ("leaderboard", "build", "RUN", "-o", "site"),
    "compare": ("compare", "RUN", "OTHER", "-o", "x.md"),
    **{f"export {name}": ("export", "RUN", "-o", name) for name in FILES},
    **{f"show {name}": ("show", "RUN", "-o", name) for name in FILES},
}
"""Words of the command line; RUN and OTHER are runs elsewhere, what follows -o is on the disk."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disks.small_disk(tmp_path / "small") as folder:
        yield folder


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one machine."""
    folder = tmp_path_factory.mktemp("made")
    for number in (1, 2):
        machine(number, rounds=4).write(folder / f"{number:06}")
    return folder


def words(what: str, made: Path, disk: Path) -> list[str]:
    places = {"RUN": str(made / "000001"), "OTHER": str(made / "000002")}
    said = [places.get(word, word) for word in WRITING[what]]
    return [*said[:-1], str(disk / said[-1])]


@pytest.mark.parametrize("leave", [0, 4096, 16384])
@pytest.mark.parametrize("what", WRITING)
def test_a_command_says_that_the_disk_is_full_and_leaves_no_half_file(
    what: str,
    leave: int,
    made_once: Path,
    small_disk: Path,
    speedtest: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(made_once))
    command = words(what, made_once, small_disk)
    place = Path(command[-1])
    ballast = disks.fill(small_disk, leave)

    answer = speedtest(*command)

    if answer.code == 0:  # small enough for what was left
        assert leave
        assert place.exists()
    else:
        assert answer.code == 5, answer.err
        assert "No space left on device" in answer.err
        assert "Traceback" not in answer.err
        assert [path.name for path in small_disk.iterdir()] == ["ballast"]
    ballast.unlink()
    again = speedtest(*command)
    assert (again.code, again.err) == (0, "")
    assert place.exists()


@pytest.mark.parametrize("leave", [0, 4096, 16384, 32768, 65536])
def test_an_import_on_a_full_disk_takes_no_number_and_works_when_there_is_room(
    leave: int,
    made_once: Path,
    small_disk: Path,
    tmp_path: Path,
    speedtest: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write.write_bundle(RunDirectory(made_once / "000001"), tmp_path / "x.zip")
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(small_disk))
    ballast = disks.fill(small_disk, leave)

    answer = speedtest("results", "import", tmp_path / "x.zip")

    if answer.code:
        assert answer.code == 5, answer.err
        assert "No space left on device" in answer.err
        assert "Traceback" not in answer.err
        assert not list((small_disk / "runs").glob("0*"))
    ballast.unlink()
    if answer.code:
        assert speedtest("results", "import", tmp_path / "x.zip").code == 0
    assert verify.verify(RunDirectory(small_disk / "runs" / "000001")) == []


@pytest.mark.parametrize("command", ["reindex", "list", "gc", "verify"])
def test_what_keeps_the_store_in_order_damages_nothing_on_a_full_disk(
    command: str, small_disk: Path, speedtest: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(small_disk))
    run = stored(rounds=2)
    run.sealed_path.unlink()
    before = {path: path.read_bytes() for path in run.path.iterdir()}
    ballast = disks.fill(small_disk, 0)

    answer = speedtest("results", command)

    writes = command == "reindex"
    assert answer.code == (5 if writes else 0), answer.err
    assert ("check the free disk space" in answer.err) == writes
    assert "Traceback" not in answer.err
    assert {path: path.read_bytes() for path in run.path.iterdir()} == before
    ballast.unlink()
    assert speedtest("results", command).code == 0
    assert verify.verify(run) == []
