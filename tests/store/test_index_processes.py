"""Several tools at once, and disks that are full: no run is lost, and nothing is corrupt."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import disks
from fakes.runs import stored
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.store import verify
from mac_whisper_speedtest.store.index import open_index
from mac_whisper_speedtest.summary.summarize import summarize

PROCESSES, RUNS_EACH = 8, 2
TESTS = Path(__file__).parents[1]

WRITER = f"""
import os, sys
from fakes.runs import stored
from mac_whisper_speedtest.store.index import open_index
children = []
for number in range({PROCESSES}):
    child = os.fork()
    if not child:
        for turn in range({RUNS_EACH}):
            tags = [f"of-{{number}}"]
            run = stored(seed=number * 100 + turn, tags=tags, rounds=1, passes=1)
            with open_index() as index:
                assert run.number in {{row.number for row in index.runs()}}
        os._exit(0)
    children.append(child)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def in_child(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_tools_that_write_whole_runs_and_the_index_at_once_lose_none() -> None:
    done = in_child(WRITER)
    assert done.returncode == 0, done.stderr
    runs = directory.every()
    assert [run.number for run in runs] == list(range(1, PROCESSES * RUNS_EACH + 1))
    assert [verify.verify(run) for run in runs] == [[]] * len(runs)
    with open_index() as index:
        rows = index.runs()
        assert [row.number for row in rows] == [run.number for run in runs]
        assert {row.state for row in rows} == {"complete"}
        assert len({row.run_id for row in rows}) == len(rows)
        for number in range(PROCESSES):
            assert len(index.runs(tag=f"of-{number}")) == RUNS_EACH
        assert index.refresh().read == 0
        assert index.check() == ""


def test_two_tools_that_open_a_new_index_at_once_both_have_it(data: Path) -> None:
    stored()
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(open_index()) for _ in range(2)]
        stored()
        for index in both:
            index.refresh()
            assert len(index.runs()) == 2
            assert index.path == data / "index.sqlite"


LIMITED = """
import resource, signal, sys
from fakes.runs import stored
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.store.index import open_index
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
try:
    stored(synced=True)
    with open_index(print) as index:
        print(len(index.runs()), index.path)
except StorageError as error:
    print(f"StorageError: {error.message}")
"""


@pytest.mark.parametrize("limit", [0, 1000, 5000, 9000, 20000, 40000])
def test_a_file_that_may_grow_no_further_is_a_storage_error_and_nothing_is_corrupt(
    limit: int, data: Path
) -> None:
    stored()
    done = in_child(f"import sys; sys.argv = ['', '{limit}']\n{LIMITED}")
    assert done.returncode == 0, done.stderr
    if limit < 9000:  # a journal of that kind is larger
        assert done.stdout.startswith("StorageError: cannot write"), done.stdout
    for run in directory.every():
        assert verify.verify(run) == []
        summarize(run.replay())
    with open_index() as index:
        assert len(index.runs()) == len(directory.every()) >= 1
        assert index.check() == ""


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder on a file system of 1 MiB."""
    with disks.small_disk(tmp_path / "small") as folder:
        monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(folder))
        yield folder


@pytest.mark.parametrize("leave", [0, 4096, 16384, 32768, 65536, 131072])
def test_a_full_disk_is_a_storage_error_wherever_it_strikes(small_disk: Path, leave: int) -> None:
    stored()
    before = {path: path.read_bytes() for path in small_disk.rglob("*.json*")}
    ballast = disks.fill(small_disk, leave)
    try:
        stored(synced=True)
        why = "No space left on device"
    except StorageError as error:
        why = error.message
    assert "No space left on device" in why
    messages: list[str] = []
    with open_index(messages.append) as index:  # in memory, if need be
        assert len(index.runs()) == len(directory.every()) >= 1
    for path, content in before.items():
        assert path.read_bytes() == content
    ballast.unlink()
    for run in directory.every():
        assert verify.verify(run) == []
    again = stored()
    with open_index() as index:
        assert index.path == small_disk / "index.sqlite"
        assert again.number in {row.number for row in index.runs()}
        assert index.check() == ""
