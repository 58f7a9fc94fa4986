"""The installation of a bridge with the real Swift: builds, kills, and packages from git.

What goes wrong with Apple's tools is in tests/environments/test_swift.py, with stand-ins.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bridges.conftest import unavailable
from conftest import wait_until
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.recipe import SwiftRecipe
from mac_whisper_speedtest.environments import bridges, installations
from mac_whisper_speedtest.errors import DownloadError
from mac_whisper_speedtest.run.install import greet, installed_versions
from mac_whisper_speedtest.worker.launch import command

ECHO = SwiftRecipe(
    *("speedtest-echo", "1", "protocol", "speedtest-echo"), needs=(), platforms=(sys.platform,)
)
INSTALL_ECHO = """
import sys
from mac_whisper_speedtest.backends.recipe import SwiftRecipe
from mac_whisper_speedtest.environments import installations
from mac_whisper_speedtest.interrupts import as_keyboard_interrupt
from mac_whisper_speedtest.run.install import greet
echo = SwiftRecipe(
    *("speedtest-echo", "1", "protocol", "speedtest-echo"), needs=(), platforms=(sys.platform,)
)
with as_keyboard_interrupt():
    installations.install(echo, greet=greet, notify=lambda text: print(text, flush=True))
"""
SWIFT_OF_ITS_OWN = """#!/bin/sh
word=$1
shift
case $word in
build | package)
  exec {swift} $word --cache-path {folder}/cache --config-path {folder}/config \\
    --security-path {folder}/security "$@" ;;
*) exec {swift} $word "$@" ;;
esac
"""
"""SwiftPM keeps copies of packages, and remembers their commits, for the user; here for a test."""
WORDS = "https://packages.invalid/words"
TINY = SwiftRecipe("tiny", "1", "tiny", "speedtest-tiny", needs=(), platforms=(sys.platform,))
TINY_FILES = {
    "swift/tiny/Package.swift": f"""// swift-tools-version: 6.0
import PackageDescription

let package = Package(
  name: "tiny",
  dependencies: [.package(url: "{WORDS}", exact: "1.0.0")],
  targets: [
    .executableTarget(
      name: "speedtest-tiny", dependencies: [.product(name: "Words", package: "words")])
  ])
""",
    "swift/tiny/Sources/speedtest-tiny/main.swift": r"""import Words

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

var number = 0
while readLine() != nil {
  number += 1
  let result = #"{"protocol": 1, "name": "\#(name)", "version": "1"}"#
  print(#"{"jsonrpc": "2.0", "id": \#(number), "result": \#(result)}"#)
  fflush(nil)
}
""",
    "words/Package.swift": """// swift-tools-version: 6.0
import PackageDescription

let package = Package(
  name: "words",
  products: [.library(name: "Words", targets: ["Words"])],
  targets: [.target(name: "Words")])
""",
    "words/Sources/Words/Words.swift": 'public let name = "tiny"\n',
}

pytestmark = pytest.mark.skipif(
    shutil.which("swift") is None, reason=unavailable("protocol") or "there is a Swift"
)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of this tool and of SwiftPM that go with the test."""
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    swift = tmp_path / "bin" / "swift"
    swift.parent.mkdir()
    swift.write_text(
        SWIFT_OF_ITS_OWN.format(folder=tmp_path / "swiftpm", swift=shutil.which("swift"))
    )
    swift.chmod(0o755)
    monkeypatch.setenv("PATH", str(swift.parent), prepend=os.pathsep)


@pytest.fixture
def started() -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start installs of the echo as processes; none outlives the test."""
    processes = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", INSTALL_ECHO], stdout=-1, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def building(name: str) -> Path | None:
    """A file of the build that is under way."""
    return next((bridges.root() / "building").glob(f"*/{name}"), None)


def compiles() -> bool:
    log = building("build.log")
    return log is not None and "Compiling" in log.read_text()


def test_a_killed_build_is_continued_by_the_one_that_waits_and_made_once(
    started: Callable[[], subprocess.Popen[str]],
) -> None:
    first = started()
    wait_until(compiles, 120)
    leader = building("leader.json")
    assert leader is not None
    orphan = psutil.Process(json.loads(leader.read_text())["pid"])
    orphan.suspend()  # on a fast machine the build would be over before a second process asks
    second = started()
    assert second.stdout is not None
    assert "being built by another process: waiting" in second.stdout.readline()
    first.kill()
    first.wait()
    output, _ = second.communicate(timeout=280)
    assert second.returncode == 0, output
    assert "continuing an earlier build" in output
    assert "speedtest-echo 1: done in " in output
    # It may wait for this process to read its status, if that adopts orphans.
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    third = started()
    assert third.communicate(timeout=60)[0] == "speedtest-echo 1 is already installed\n"

    (made,) = installations.of_recipe(ECHO)
    assert sorted(each.name for each in made.path.iterdir()) == ["bin", "environment.json"]
    backend = Backend("speedtest-echo", recipe=ECHO)
    program = str(made.path / "bin" / "speedtest-echo")
    assert command(backend) == (program,)
    assert greet((program,)) == "speedtest-echo"
    version, others = installed_versions(backend, threads=1)
    assert version == "1"
    assert "system" in others
    assert installations.remove(made) > 100_000
    assert command(backend) is None
    assert [each.suffix for each in bridges.root().iterdir() if each.is_file()] == [".lock"]


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The sources of a bridge with a package from git; returns the commit of its release."""
    for name, text in TINY_FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def git(*arguments: str) -> str:
        words = ["git", "-C", str(tmp_path / "words"), "-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run([*words, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "first")
    git("tag", "1.0.0")
    monkeypatch.setattr(bridges, "sources", lambda: tmp_path / "swift")
    return git("rev-parse", "HEAD")


def test_packages_are_fetched_once_recorded_and_held_to_their_pins(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(recipe: SwiftRecipe = TINY) -> installations.Installation:
        return installations.install(recipe, greet=greet, notify=lambda _line: None)

    # The address exists nowhere: without a copy, that is a failed download.
    with pytest.raises(DownloadError, match="packages of tiny 1 could not be fetched"):
        install()
    # git finds it beside the test from now on, as if it were that address.
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{tmp_path / 'words'}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", WORDS)
    with pytest.raises(DownloadError, match=f"words 1.0.0 is at the commit {tiny}, not at 0000"):
        install(replace(TINY, revisions={"words": "0" * 40}))
    made = install(replace(TINY, revisions={"words": tiny}))
    assert isinstance(made, bridges.Bridge)
    assert made.revisions == {"words": f"1.0.0 {tiny}"}
    # Away from the network once more: SwiftPM's own copy is enough to build it again.
    installations.remove(made)
    monkeypatch.delenv("GIT_CONFIG_COUNT")
    again = install(replace(TINY, revisions={"words": tiny}))
    assert isinstance(again, bridges.Bridge)
    assert again.revisions == made.revisions
