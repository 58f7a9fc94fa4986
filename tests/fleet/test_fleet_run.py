"""``fleet run``, ``status``, ``drain`` and ``collect``, with a real scheduler and real agents."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Call, wait_until
from fakes import parks
from fleet.conftest import Serving, new_node
from mac_whisper_speedtest import files
from mac_whisper_speedtest.bundle import write
from mac_whisper_speedtest.cli import fleet_progress
from mac_whisper_speedtest.errors import ExitCode
from mac_whisper_speedtest.fleet import agent, job
from mac_whisper_speedtest.fleet.job import Delivery, Ending, NodeAnswer
from mac_whisper_speedtest.fleet.policy import FleetProgress
from mac_whisper_speedtest.fleet.storage import BundleName, Storage
from mac_whisper_speedtest.results.directory import RunDirectory

GIB = 1 << 30


class PretendNode:
    """A node's process: a real agent, and bundles of invented but valid runs as measurements."""

    def __init__(self, argv: list[str], folder: Path, name: str, **labels: Any) -> None:
        self.folder, self.number = folder, len(name)
        self.given: list[Delivery] = []
        self.let_go = threading.Event()
        self.let_go.set()
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
        )
        self._say(json.dumps({"known": {"node": name, **labels}}))
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()

    def _work(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            delivery = job.decode_delivery(line)
            self.given.append(delivery)
            self.let_go.wait(60)
            name = self.measure(delivery)
            answer = NodeAnswer(
                id=name.id, attempt=name.attempt, ending=Ending.DONE, bundle_sha256=name.sha256
            )
            self._say(job.encode(answer))

    def measure(self, delivery: Delivery) -> BundleName:
        """Store a bundle of a run on this machine that was not there before."""
        seed = 100 * self.number + len(self.given)
        made = parks.machine(seed, rounds=2, passes=1)
        path = self.folder / f"{seed}.zip"
        run = made.write(self.folder / f"run-{seed}")
        write.write_bundle(RunDirectory(run), path)
        shutil.rmtree(run)
        name = BundleName(delivery.job.id, delivery.attempt, files.sha256_file(path))
        Storage(delivery.job.to).put(path, name)
        return name

    def end(self) -> None:
        self.let_go.set()
        with self.process:
            self.process.kill()
        self.thread.join(60)


@pytest.fixture
def fleet(
    serving: Callable[..., Serving], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., PretendNode]]:
    """A fleet whose client is this process: joins nodes."""
    settings = serving().settings
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(settings.folder.parent))
    nodes: list[PretendNode] = []

    def join(name: str, **labels: Any) -> PretendNode:
        folder = tmp_path / name
        folder.mkdir()
        own = new_node(settings, name, folder / "fleet")
        nodes.append(PretendNode(agent.command(own), folder, name, **labels))
        return nodes[-1]

    yield join
    for each in nodes:
        each.end()


def joined(speedtest: Call, *names: str) -> None:
    def here() -> bool:
        found = speedtest("fleet", "status", "--json").json
        return {each["name"] for each in found["nodes"] if each["connected"]} >= set(names)

    wait_until(here, 60)


def test_one_request_on_two_machines_ends_in_tables_runs_and_a_leaderboard(
    fleet: Callable[..., PretendNode], speedtest: Call, tmp_path: Path
) -> None:
    fleet("air", chip="M2", memory=8 * GIB, os="macos")
    mini = fleet("mini", chip="M4", memory=16 * GIB, os="macos")
    joined(speedtest, "air", "mini")
    to = tmp_path / "shared"
    command = ("fleet", "run", "--model", "tiny.en", "--to", to, "--repeat", 2)

    done = speedtest(*command, "--on", "chip=~M4*", "--on", "memory<16G")

    assert done.code == ExitCode.OK, done.err
    assert [each.job.on for each in mini.given] == [("chip=~M4*",)] * 2
    assert "4 bundles are runs of this machine (4 new), 0 are not" in done.out
    assert f"speedtest leaderboard build '{to}' -o site" in done.out
    assert "done on mini: tiny.en on chip=~M4*, repetition 2" in done.err
    assert len(list(to.iterdir())) == 4

    again = speedtest(*command, "--on", "memory<16G", "--on", "chip=~M4*")
    assert again.code == ExitCode.OK
    assert "4 bundles are runs of this machine (0 new), 0 are not" in again.out
    assert len(mini.given) == 2  # nothing was measured again

    site = speedtest("leaderboard", "build", to, "-o", tmp_path / "site")
    assert site.code == ExitCode.OK
    assert "bundles: 4 (refused: 0" in site.out


def test_without_constraints_every_node_measures_once(
    fleet: Callable[..., PretendNode], speedtest: Call, tmp_path: Path
) -> None:
    nodes = [fleet("air"), fleet("mini")]
    joined(speedtest, "air", "mini")

    done = speedtest("fleet", "run", "--model", "tiny.en", "--to", tmp_path / "x")

    assert done.code == ExitCode.OK, done.err
    assert [[each.job.on for each in node.given] for node in nodes] == [
        [("node=air",)],
        [("node=mini",)],
    ]


def test_ctrl_c_leaves_the_nodes_going_and_the_same_command_goes_on(
    fleet: Callable[..., PretendNode], speedtest: Call, tmp_path: Path
) -> None:
    air = fleet("air", memory=8 * GIB)
    joined(speedtest, "air")
    air.let_go.clear()
    command = [
        sys.executable, "-m", "mac_whisper_speedtest", "fleet", "run",
        "--model", "tiny.en", "--to", str(tmp_path / "x"), "--on", "memory<16G",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        wait_until(lambda: air.given, 60)
        other = speedtest(*command[3:])
        assert other.code == ExitCode.USAGE
        assert "another speedtest fleet run is at work" in other.err
        measuring = speedtest("fleet", "status").out
        first.send_signal(signal.SIGINT)
        _, said = first.communicate(timeout=60)
    assert first.returncode == ExitCode.INTERRUPTED
    assert "The same command again does what is left" in said
    assert "measures, for" in measuring

    air.let_go.set()
    done = speedtest(*command[3:])

    assert done.code == ExitCode.OK, done.err
    assert len(air.given) == 1
    assert "1 bundle is a run of this machine (1 new), 0 are not." in done.out


def test_what_is_missing_is_said_without_a_scheduler_too(
    fleet: Callable[..., PretendNode], speedtest: Call, tmp_path: Path
) -> None:
    fleet("air", chip="M2", memory=8 * GIB, os="macos")
    joined(speedtest, "air")
    data = Path(os.environ["SPEEDTEST_DATA_DIR"])
    command = [
        sys.executable, "-m", "mac_whisper_speedtest", "fleet", "run",
        "--model", "tiny.en", "--to", str(tmp_path / "x"), "--on", "memory>=16G",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        for line in waiting.stderr:
            if "waits for memory>=16G" in line:
                break
        waiting.send_signal(signal.SIGTERM)
    assert "no such node was ever here; nearest: air has memory: 8 GiB" in line

    assert speedtest("fleet", "drain", "air").out == "air gets no further job.\n"
    there = data / "fleet" / "fleet.toml"
    there.write_text(re.sub(r":\d+\"", ':1"', there.read_text()))  # where nothing listens
    alone = speedtest("fleet", "status")

    assert alone.code == ExitCode.OK, alone.err
    assert "This is what the ledger of this machine knows." in alone.out
    assert "drained, seen" in alone.out.replace("\n", " ")
    assert "queued: tiny.en on memory>=16G" in alone.out


def test_a_node_that_never_joined_cannot_be_drained(
    fleet: Callable[..., PretendNode], speedtest: Call
) -> None:
    said = speedtest("fleet", "drain", "mini")
    assert said.code == ExitCode.USAGE
    assert "no node 'mini' has joined" in said.err


def test_a_bundle_that_is_refused_is_named_and_kept(
    fleet: Callable[..., PretendNode], speedtest: Call, tmp_path: Path
) -> None:
    fleet("air")
    joined(speedtest, "air")
    to = tmp_path / "x"
    assert speedtest("fleet", "run", "--model", "tiny.en", "--to", to).code == ExitCode.OK
    (good,) = to.iterdir()
    forged = to / "forged.zip"
    with zipfile.ZipFile(forged, "w") as archive:
        archive.writestr("bundle.json", "{}")
    evil = forged.rename(to / f"{'0' * 64}.1.{files.sha256_file(forged)}.zip")
    broken = to / good.name.replace(".1.", ".2.")
    broken.write_bytes(good.read_bytes()[:-10])

    done = speedtest("fleet", "collect")

    assert done.code == ExitCode.SOME_CELLS_FAILED
    assert f"refused: {evil.name}" in done.err
    assert f"refused: {broken.name}: it is damaged" in done.err
    assert "1 bundle is a run of this machine (0 new), 2 are not" in done.out
    assert evil.exists()
    assert broken.exists()

    good.unlink()
    again = speedtest("fleet", "collect")
    assert again.code == ExitCode.SOME_CELLS_FAILED
    assert f"1 bundles that were in {to} are not there now, such as {good.name}" in again.err


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_lines_are_rewritten_and_what_went_wrong_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = fleet_progress.observer(quiet=False)
    work = job.Job(request={"models": ["tiny.en"], "backends": ["a", "b"]}, to="/x", on=("os=x",))
    progress = FleetProgress(
        jobs=40, done=12, failed=1, cells=80, cells_done=24, busy={"mini": work.id},
        connected=["air", "mini"], left_s=600.0, waits=["waits for memory>=64G: ..."],
    )  # fmt: skip

    shown.changed(progress)
    shown.ended(work, "mini", "done", "")
    shown.ended(work, "mini", "not ready", "on battery\x1b[2J")
    shown.close()

    text = terminal.getvalue()
    assert "12 of 40 jobs, 1 failed, 24 of 80 cells, 1 of 2 nodes busy, about 10 min" in text
    assert "mini measures\nwaits for memory>=64G: ...\n" in text
    assert "not ready on mini: tiny.en (a, b) on os=x: on battery" in text
    assert "\x1b[2J" not in text
    assert "done on" not in text
    assert text.endswith("\x1b[J")


def test_an_option_of_one_machine_and_a_wrong_constraint_are_refused_at_once(
    fleet: Callable[..., PretendNode], speedtest: Call, tmp_path: Path
) -> None:
    base = ("fleet", "run", "--model", "tiny.en", "--to", tmp_path / "x")
    assert "has no order" in speedtest(*base, "--on", "chip>=4").err
    assert "nodes do not have it" in speedtest(*base, "--audio", "talk.mp3").err
    alone = speedtest(*base)
    assert alone.code == ExitCode.USAGE
    assert "no node is connected" in alone.err
