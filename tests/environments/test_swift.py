"""A bridge is built completely or not at all, with stand-ins for Apple's tools on a made-up Mac.

What the real compiler does with the same code is in tests/bridges/test_install.py.
"""

from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from conftest import Call, wait_until
from fakes.swift_tools import StandInTools
from mac_whisper_speedtest.backends import recipe as recipes
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.whisperkit import BACKEND, RECIPE
from mac_whisper_speedtest.cli import backends as cli_backends
from mac_whisper_speedtest.environments import bridges, store, swift, toolchain
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
    made = StandInTools(tmp_path / "tools")
    monkeypatch.setenv("PATH", f"{made.folder}:/usr/bin:/bin")
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(recipes, "this_platform", lambda: "darwin-arm64")
    return made


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


# --- what is missing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "message", "hint"),
    [
        ({"faults": "no tools"}, "Command Line Tools of Xcode are not", "xcode-select --install"),
        ({"faults": "license"}, "license of Xcode", "sudo xcodebuild -license accept"),
        ({"version": "5.10.1"}, "needs Swift 6.0 or newer, and this is 5.10.1", "softwareupdate"),
    ],
)
def test_what_is_missing_is_said_with_the_command_to_type(
    tools: StandInTools, plan: dict[str, str], message: str, hint: str
) -> None:
    faults = (plan.pop("faults"),) if "faults" in plan else ()
    tools.plan(*faults, **plan)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message) as caught:
        install()
    assert hint in caught.value.hint
    assert not bridges.root().exists()


def test_a_mac_without_swift_or_with_an_old_system_is_told_so(
    tools: StandInTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    StandInTools(tools.folder, macos="13.7")
    with pytest.raises(UsageError, match=r"whisperkit needs macOS 14 or newer, and this is 13\.7"):
        install()
    (tools.folder / "swift").unlink()
    monkeypatch.setenv("PATH", str(tools.folder))
    with pytest.raises(UsageError, match="no swift on the PATH") as caught:
        install()
    assert caught.value.hint == "xcode-select --install"


def test_a_recipe_may_need_a_newer_sdk_than_the_system(tools: StandInTools) -> None:
    newer = replace(RECIPE, sdk="26", swift="6.2")
    tools.plan(version="6.2")
    with pytest.raises(UsageError, match=r"SDK of macOS 26 or newer, and this is the one of 15\.5"):
        toolchain.check(newer)
    tools.plan(version="6.2", sdk="26.0")
    assert toolchain.check(newer).version == "6.2"


@pytest.mark.usefixtures("tools")
def test_a_version_that_this_release_does_not_pin_is_refused() -> None:
    with pytest.raises(UsageError, match=r"whisperkit 1\.0\.0 cannot be built: .* has 1\.1\.0"):
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
    with pytest.raises(StorageError, match=r"whisperkit needs 2\.8 GB .* and 1\.0 GB"):
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
    assert "that failed; building once more from the start" in lines[1]
    assert left() == [made.path.name]


def test_the_end_of_a_log_has_whole_lines_of_its_step_only(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    log.write_text("fetching\n\nhttps://me:ghp_0123456789@github.com\nlast\n")
    assert toolchain.tail(log, len("fetching\n"), size=1000)[-1] == "last"
    assert toolchain.tail(log, size=30) == ["last"], "half of a secret is not recognized"
    assert toolchain.last_line(tmp_path / "none") == ""


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


# --- the command line --------------------------------------------------------------------------


@pytest.fixture
def backends(speedtest: Call) -> Call:
    """Call ``speedtest backends``."""
    return functools.partial(speedtest, "backends")


@pytest.mark.usefixtures("tools")
def test_a_bridge_is_shown_and_removed_like_any_backend(backends: Call) -> None:
    def facts() -> dict[str, object]:
        found: dict[str, object] = backends("info", "whisperkit", "--json").json
        return found

    assert facts()["runs_from"] == "not installed"
    code, out, err = backends("install", "whisperkit")
    assert (code, out) == (0, "whisperkit 1.1.0 is installed as a program\n")
    assert "building with Swift 6.1.2" in err
    shown = facts()
    assert (shown["runs_from"], shown["version"]) == ("built here", "1.1.0")
    assert shown["needs"] == ["Swift 6.0 or newer", "macOS 14 or newer"]
    assert shown["build_bytes"] == RECIPE.build_bytes
    _, out, _ = backends("info", "whisperkit")
    assert "1.1.0 (Swift 6.1.2, " in out
    assert "with argmax-oss-swift 1.1.0 1e2a1637" in out
    rows = backends("list").out.splitlines()
    assert "built here" in next(row for row in rows if row.startswith("whisperkit "))
    code, out, _ = backends("remove", "whisperkit")
    assert code == 0
    assert "whisperkit 1.1.0: removed, " in out
    assert left() == []
    assert backends("remove", "whisperkit").out == "whisperkit: it has not been built here\n"


def test_without_a_terminal_a_line_now_and_then_shows_that_a_build_goes_on(
    tools: StandInTools, backends: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.plan("slow")
    assert "building: [" not in backends("install", "whisperkit").err
    backends("remove", "whisperkit")
    monkeypatch.setattr(cli_backends, "_SAID_EVERY_S", 0.0)
    err = backends("install", "whisperkit").err
    assert "building: [1/3] Compiling SpeedtestProtocol Engine.swift\n" in err


def test_removing_also_frees_what_an_unfinished_build_keeps(
    tools: StandInTools, backends: Call
) -> None:
    tools.plan("compile error")
    assert backends("install", "whisperkit").code == ExitCode.USAGE
    assert len(left()) == 1
    assert "removed an unfinished build" in backends("remove", "whisperkit").out
    assert left() == []


def test_all_leaves_out_what_cannot_be_built_here_or_is_too_large(
    tools: StandInTools, backends: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "installed", lambda: {"whisperkit": BACKEND})
    tools.plan("no tools")
    code, out, err = backends("install", "--all")
    assert (code, out) == (0, "")
    assert "whisperkit: left out: the Command Line Tools of Xcode are not installed" in err
    tools.plan()
    assert "2.5 GB is more than 2.0 GB" in backends("install", "--all", "--max-size", "2GB").err
    assert backends("install", "--all").out == "whisperkit 1.1.0 is installed as a program\n"


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("verb", ["lock", "upgrade"])
def test_the_release_of_the_tool_fixes_the_packages_of_a_bridge(backends: Call, verb: str) -> None:
    code, _, err = backends(verb, "whisperkit")
    assert code == ExitCode.USAGE
    assert "whisperkit has no locks: the release of this tool pins its packages, at 1.1.0" in err


@pytest.mark.skipif(sys.platform == "darwin", reason="about other systems")
def test_elsewhere_it_is_macos_only(
    backends: Call, speedtest: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path))
    code, _, err = backends("install", "whisperkit")
    assert code == ExitCode.USAGE
    assert f"whisperkit: macOS only (this is {recipes.this_platform()})" in err
    assert backends("info", "whisperkit", "--json").json["runs_from"] == "macOS only"
    assert not_installed(BACKEND) == "not for this machine: macOS only"
    assert list(tmp_path.iterdir()) == []
