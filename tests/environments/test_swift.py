"""A bridge is built completely or not at all, with stand-ins for Apple's tools on a made-up Mac.

What the real compiler does with the same code is in tests/bridges/test_install.py.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from conftest import wait_until
from fakes.swift_tools import StandInTools, on_a_mac
from mac_whisper_speedtest.backends.whisperkit import BACKEND, RECIPE
from mac_whisper_speedtest.environments import bridges, store, swift
from mac_whisper_speedtest.environments.bridges import Bridge
from mac_whisper_speedtest.environments.toolchain import BuildTimeoutError
from mac_whisper_speedtest.errors import (
    DownloadError,
    ExitCode,
    SpeedtestError,
    StorageError,
    UsageError,
)
from mac_whisper_speedtest.run.install import greet, installed_versions
from mac_whisper_speedtest.worker.launch import command, not_installed

ON_A_MAC = """
import sys
from mac_whisper_speedtest.backends import recipe
recipe.this_platform = lambda: "darwin-arm64"
sys.argv = ["speedtest", "backends", "install", "whisperkit"]
from mac_whisper_speedtest.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandInTools:
    """The tools of a made-up Mac, with a cache of its own."""
    return on_a_mac(tmp_path, monkeypatch)


def install(**options: object) -> tuple[Bridge, list[str]]:
    """Install WhisperKit's bridge; also return the reported lines."""
    lines: list[str] = []
    settings: dict[str, object] = {"greet": greet, "notify": lines.append, **options}
    return swift.install(RECIPE, **settings), lines  # type: ignore[arg-type]


def left() -> list[str]:
    """The names in the folder of bridges, except lock files, and in the one of builds."""
    folders = (bridges.root(), bridges.root() / "building")
    names = [each.name for folder in folders if folder.is_dir() for each in folder.iterdir()]
    return sorted(name for name in names if not name.endswith(".lock") and name != "building")


def gone(pids: list[int]) -> bool:
    """Whether none of these processes runs."""

    def runs(pid: int) -> bool:
        try:
            return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    return bool(pids) and not any(map(runs, pids))


# --- what is built -----------------------------------------------------------------------------


def test_a_bridge_is_built_from_the_shipped_sources_and_says_what_it_is(
    tools: StandInTools,
) -> None:
    seen: list[str] = []
    made, lines = install(progress=seen.append)
    assert bridges.find(RECIPE) == made
    assert sorted(each.name for each in made.path.rglob("*")) == [
        *("Package_Tables.bundle", "bin", "environment.json"),
        *("speedtest-whisperkit", "table.txt"),
    ]
    mark = json.loads((made.path / "environment.json").read_text(encoding="utf-8"))
    assert (mark["recipe"], mark["version"], mark["swift"]) == ("whisperkit", "1.1.0", "6.1.2")
    assert mark["revisions"]["argmax-oss-swift"] == f"1.1.0 {RECIPE.revisions['argmax-oss-swift']}"
    assert mark["platform"] == "darwin-arm64"
    assert lines[0].startswith("whisperkit 1.1.0: building with Swift 6.1.2, which takes minutes")
    assert lines[1].startswith("whisperkit 1.1.0: done in ")
    assert left() == [made.path.name]
    (built,) = tools.calls("build")
    work = bridges.root() / "building" / made.path.name
    assert built == (
        f"build -c release --package-path {work}/src/whisperkit --scratch-path {work}/scratch "
        "--product speedtest-whisperkit"
    )


@pytest.mark.usefixtures("tools")
def test_the_backend_is_started_with_it_and_its_packages_are_among_the_versions() -> None:
    assert command(BACKEND) is None
    assert not_installed(BACKEND) == "not installed — speedtest backends install whisperkit"
    made, _ = install()
    assert command(BACKEND) == (made.executable,)
    variant = replace(BACKEND, name="other", arguments=("--results", "progressive"))
    assert command(variant) == (made.executable, "--results", "progressive")
    version, others = installed_versions(BACKEND, threads=1)
    assert (version, others["os"]) == ("1.1.0", "15.5")
    assert others["swift-argument-parser"].startswith("1.1.0 c5d11a80")


def test_installing_again_does_nothing(tools: StandInTools) -> None:
    first, _ = install()
    assert install() == (first, ["whisperkit 1.1.0 is already installed"])
    assert len(tools.calls("build")) == 1


def test_another_compiler_builds_another_bridge_and_the_newer_one_is_used(
    tools: StandInTools,
) -> None:
    first, _ = install()
    tools.plan(version="6.2.1")
    assert bridges.find(RECIPE) == first, "an update of Xcode does not make it unusable"
    second, _ = install()
    assert second.path != first.path
    assert bridges.find(RECIPE) == second
    assert bridges.of_recipe(RECIPE) == [first, second]


@pytest.mark.usefixtures("tools")
def test_a_bridge_of_other_sources_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    assert bridges.find(replace(RECIPE, revisions={})) is None
    changed = tmp_path / "swift"
    for folder in ("protocol", "whisperkit"):
        (changed / folder).mkdir(parents=True)
        (changed / folder / "Package.swift").write_text("// changed")
    monkeypatch.setattr(bridges, "sources", lambda: changed)
    assert bridges.find(RECIPE) is None


@pytest.mark.usefixtures("tools")
def test_a_bridge_without_its_marker_or_program_does_not_count_and_is_built_again() -> None:
    made, _ = install()
    for spoil in (made.path / store.MARKER, Path(made.executable)):
        spoil.unlink()
        assert bridges.find(RECIPE) is None
        assert bridges.find(RECIPE) is None
        assert install()[0].path == made.path


def test_what_a_developer_has_set_does_not_reach_a_build(
    tools: StandInTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_STUBS", "1")
    monkeypatch.setenv("SPEEDTEST_SWIFT_MODE", "6")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    install()
    assert "SPEEDTEST_STUBS" not in tools.variables()
    assert "SPEEDTEST_SWIFT_MODE" not in tools.variables()
    assert tools.variables()["HTTPS_PROXY"] == "http://proxy.example"


@pytest.mark.usefixtures("tools")
def test_a_version_that_this_release_does_not_pin_is_refused() -> None:
    with pytest.raises(UsageError, match=r"whisperkit 1\.0\.0 cannot be built: .* version 1\.1\.0"):
        swift.install(RECIPE, "1.0.0", greet=greet, notify=print)


# --- what may go wrong -------------------------------------------------------------------------


def test_a_compile_error_is_shown_with_the_log_and_nothing_counts(tools: StandInTools) -> None:
    tools.plan("compile error")
    with pytest.raises(SpeedtestError, match=r"12:5: error: cannot find 'Whisper'") as caught:
        install()
    assert caught.value.exit_code is ExitCode.USAGE
    log = next((bridges.root() / "building").glob("*/build.log"))
    assert str(log) in caught.value.hint
    assert "[1/3] Compiling" in log.read_text()
    assert bridges.find(RECIPE) is None
    tools.plan()
    made, lines = install()
    assert "continuing an earlier build" in lines[0]
    assert left() == [made.path.name]


def test_packages_that_cannot_be_fetched_are_a_failed_download_without_secrets(
    tools: StandInTools,
) -> None:
    tools.plan("offline")
    with pytest.raises(DownloadError, match="Could not resolve host: github") as caught:
        install()
    assert "ghp_" not in caught.value.message
    assert "check the connection to github.com" in caught.value.hint
    tools.plan("bad manifest")
    with pytest.raises(SpeedtestError, match="Invalid manifest") as other:
        install()
    assert not isinstance(other.value, DownloadError)


def test_a_package_at_another_commit_than_the_pinned_one_is_refused(tools: StandInTools) -> None:
    tools.plan(revisions={"argmax-oss-swift": "f" * 40})
    with pytest.raises(DownloadError, match=f"argmax-oss-swift 1.1.0 is at the commit {'f' * 40}"):
        install()
    assert tools.calls("build") == []
    assert bridges.find(RECIPE) is None


def test_a_disk_that_becomes_full_is_a_storage_error_and_gets_its_space_back(
    tools: StandInTools,
) -> None:
    tools.plan("full disk")
    with pytest.raises(StorageError, match="the disk became full while whisperkit"):
        install()
    assert not list((bridges.root() / "building").glob("*/scratch"))


def test_too_little_space_is_reported_before_anything_is_built(tools: StandInTools) -> None:
    with pytest.raises(StorageError, match=r"whisperkit needs 2\.8 GB .* but 1\.0 GB"):
        install(free_bytes=lambda _folder: 10**9)
    assert tools.calls("build") == []


@pytest.mark.parametrize(
    ("faults", "name", "message"),
    [
        ((), "echo", "answers as 'echo' instead of 'whisperkit'"),
        (("silent",), "whisperkit", "speedtest-whisperkit does not answer"),
        (("no product",), "whisperkit", "there is no speedtest-whisperkit in"),
    ],
)
def test_a_program_that_does_not_answer_as_itself_is_not_installed(
    tools: StandInTools, faults: tuple[str, ...], name: str, message: str
) -> None:
    tools.plan(*faults, name=name)
    with pytest.raises(SpeedtestError, match=message):
        install()
    assert bridges.of_recipe(RECIPE) == []


def test_a_build_that_takes_too_long_is_stopped_with_everything_it_started(
    tools: StandInTools,
) -> None:
    tools.plan("hang")
    with pytest.raises(BuildTimeoutError, match=r"the last line was: \[1/3\] Compiling") as caught:
        install(timeout_s=2.0)
    assert "the same command continues where it was" in caught.value.hint
    assert gone(tools.running())
    tools.plan("half-written breaks")
    made, lines = install()
    assert "that failed; building again from the start" in lines[1]
    assert left() == [made.path.name]


# --- killed, interrupted, two at once ----------------------------------------------------------


@pytest.fixture
def started(tools: StandInTools) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start ``speedtest backends install whisperkit`` as a process; none outlives the test."""
    processes = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", ON_A_MAC], stdout=-1, stderr=subprocess.STDOUT, text=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
    for pid in tools.running():
        try:
            psutil.Process(pid).kill()
        except psutil.NoSuchProcess:
            continue


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_running_and_the_next_one_continues(
    tools: StandInTools, started: Callable[[], subprocess.Popen[str]], number: signal.Signals
) -> None:
    tools.plan("hang")
    process = started()
    wait_until(tools.running)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED, output
    assert gone(tools.running())
    assert bridges.of_recipe(RECIPE) == []
    (work,) = left()
    tools.plan()
    made, lines = install()
    assert made.path.name == work
    assert "continuing an earlier build" in lines[0]
    assert left() == [work]


def test_the_build_of_a_killed_tool_is_ended_by_the_next_one_which_continues_it(
    tools: StandInTools, started: Callable[[], subprocess.Popen[str]]
) -> None:
    tools.plan("hang")
    process = started()
    wait_until(tools.running)
    process.kill()
    process.wait()
    assert not gone(tools.running()), "nothing was there to end them"
    tools.plan()
    made, lines = install()
    assert gone(tools.running())
    assert "continuing an earlier build" in lines[0]
    assert left() == [made.path.name]


def test_removing_what_a_killed_tool_was_building_ends_it(
    tools: StandInTools, started: Callable[[], subprocess.Popen[str]]
) -> None:
    tools.plan("hang")
    process = started()
    wait_until(tools.running)
    assert swift.delete_unfinished(RECIPE) == 0, "it is being built"
    process.kill()
    process.wait()
    assert swift.delete_unfinished(RECIPE) > 0
    assert gone(tools.running())
    assert left() == []


def test_of_two_installs_at_once_the_second_waits_and_finds_it_done(
    tools: StandInTools, started: Callable[[], subprocess.Popen[str]]
) -> None:
    tools.plan("hang")
    first = started()
    wait_until(tools.running)
    second = started()
    assert second.stdout is not None
    assert "being built by another process: waiting" in second.stdout.readline()
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    tools.plan()
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0, output
    assert "whisperkit 1.1.0 is installed as a program" in output
    assert len(bridges.of_recipe(RECIPE)) == 1
