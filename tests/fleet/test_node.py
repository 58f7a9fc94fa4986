"""A node as a process: quiet, alone, and without loss. Only its agent is a fake."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from conftest import FAKES, Tool, describe_fake, wait_until
from fakes.disks import fill, small_disk
from fakes.simulated_mac import SimulatedMac
from mac_whisper_speedtest.bundle import read
from mac_whisper_speedtest.fleet import job, labels, node
from mac_whisper_speedtest.fleet.job import Delivery, Ending, Job, NodeAnswer
from mac_whisper_speedtest.fleet.storage import Storage
from mac_whisper_speedtest.machine import host

NODE = """
import sys
from mac_whisper_speedtest import interrupts
from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.fleet import node
interrupts.handle_for_good()
try:
    node.join("n1", [sys.executable, *sys.argv[1:]], notify=lambda line: print(line, flush=True))
except KeyboardInterrupt:
    print("imported", *sorted(sys.modules), flush=True)
    sys.exit(130)
except SpeedtestError as error:
    print(error.message, flush=True)
    sys.exit(int(error.exit_code))
"""
SOON_S = 120.0
"""Tests run on machines that are busy with others."""
HEAVY = {"distributed", "dask", "fsspec", "s3fs", "cryptography", "numpy", "psutil", "tornado"}


class Bench:
    """A node with its folders, and what it is given to do."""

    def __init__(self, folder: Path, tool: Tool) -> None:
        self.folder = folder
        self.shared = folder / "shared"
        self.to = str(self.shared)
        self.agent = folder / "agent"
        for each in (self.shared, self.agent / "deliveries"):
            each.mkdir(parents=True)
        self.data = folder / "data"
        self.outbox = self.data / "fleet" / "outbox"
        self.tool = tool
        self.variables: dict[str, str] = {}
        self.started: list[subprocess.Popen[str]] = []
        self._jobs = 0

    def start(self) -> subprocess.Popen[str]:
        log = (self.folder / "said").open("a")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-c", NODE, str(FAKES / "fleet_agent.py"), str(self.agent)],
                stdout=log, stderr=log, text=True,
                env={
                    **self.tool.environment,
                    "SPEEDTEST_DATA_DIR": str(self.data),
                    "SPEEDTEST_MACHINE_LOCK": str(self.folder / "machine.lock"),
                    **self.variables,
                },
            )  # fmt: skip
        self.started.append(process)
        return process

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def deliver(
        self,
        fault: str = "",
        *,
        attempt: int = 1,
        deadline_s: float | None = None,
        on: tuple[str, ...] = (),
        **asked: Any,
    ) -> str:
        """Give the agent a job of a fake backend, or as asked; returns the name of its answer."""
        self._jobs += 1
        place = self.folder / "fakes" / f"{self._jobs}"
        place.mkdir(parents=True)
        backend = str(describe_fake(place, f"fake-{fault or 'quick'}", fault=fault))
        asked = {
            "models": ("tiny.en",), "backends": (backend,), "audio": str(self.folder / "tone.wav"),
            "rounds": 1, "retake": False, **asked,
        }  # fmt: skip
        request = {name: value for name, value in asked.items() if value is not None}
        new = Job(request=request, to=self.to, repetition=self._jobs, on=on)
        return self.again(new, attempt, deadline_s)

    def again(self, new: Job, attempt: int, deadline_s: float | None = None) -> str:
        text = job.encode(Delivery(job=new, attempt=attempt, deadline_s=deadline_s))
        name = f"{new.repetition:03}-{attempt}"
        written = self.agent / "deliveries" / f".{name}"
        written.write_text(text)
        written.rename(written.with_name(name))
        return name

    def delivered(self, name: str) -> Delivery:
        return job.decode_delivery((self.agent / "deliveries" / name).read_text())

    def answer(self, name: str, timeout_s: float = SOON_S) -> NodeAnswer:
        path = self.agent / "answers" / name
        wait_until(path.exists, timeout_s)
        found = job.decode_answer(path.read_text())
        assert found.id == self.delivered(name).job.id
        return found

    def measurement(self) -> psutil.Process | None:
        """The process that measures."""
        for each in self.tool.processes():
            try:
                if "measure" in each.cmdline() and "-m" in each.cmdline():
                    return each
            except psutil.Error:
                continue
        return None

    def worker_runs(self) -> bool:
        for each in self.tool.processes():
            try:
                if any("bootstrap.py" in word for word in each.cmdline()):
                    return True
            except psutil.Error:
                continue
        return False

    def agent_pid(self) -> int:
        return int((self.agent / "lives").read_text().split()[-1])

    def lives(self) -> int:
        path = self.agent / "lives"
        return len(path.read_text().split()) if path.exists() else 0

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = SOON_S) -> int:
        process = self.started[-1]
        process.send_signal(number)
        return process.wait(timeout_s)


@pytest.fixture
def bench(tmp_path: Path, tool: Tool, tone: Path) -> Iterator[Bench]:
    """A node's bench; whatever a test did, nothing of it is left running."""
    made = Bench(tmp_path, tool)
    yield made
    try:
        wait_until(lambda: not tool.processes(), SOON_S)
    finally:
        for each in (*tool.processes(), *made.started):
            if isinstance(each, psutil.Process) or each.poll() is None:
                each.kill()
        for process in made.started:
            process.wait()


def frozen_s(bench: Bench) -> list[float]:
    """For how long the agent stood still, each time it did."""
    ticks = [float(line) for line in (bench.agent / "ticks").read_text().split()]
    return [b - a for a, b in itertools.pairwise(ticks) if b - a > 0.5]


def test_jobs_are_measured_while_the_agent_stands_still_and_their_bundles_are_stored(
    bench: Bench,
) -> None:
    first, second = bench.deliver(), bench.deliver()
    process = bench.start()
    answers = [bench.answer(first), bench.answer(second)]
    for answer in answers:
        assert answer.ending is Ending.DONE, answer.reason
        assert answer.address is not None
        run = read.read_bundle(Path(answer.address))
        assert [cell.status for cell in run.cells] == ["ok"]
        measured_s = sum(sample.wall_s for cell in run.cells for sample in cell.samples)
        assert max(frozen_s(bench)) > measured_s
    assert len(Storage(str(bench.shared)).names()) == 2
    assert list(bench.outbox.iterdir()) == []
    found = labels.decode(msgspec.json.decode((bench.agent / "labels").read_bytes()))
    assert found.name == "n1"
    # It waits for the next job: without waking up, and without what would make it large.
    waiting = psutil.Process(process.pid)
    wait_until(lambda: waiting.status() == psutil.STATUS_SLEEPING)
    before = waiting.num_ctx_switches()
    time.sleep(3)
    assert waiting.num_ctx_switches() == before
    assert bench.stop() == 130
    imported = set(bench.said.rpartition("imported ")[2].split())
    assert not HEAVY & {name.partition(".")[0] for name in imported}
    assert bench.lives() == 1


def test_a_node_waits_without_waking_up_while_it_measures(bench: Bench) -> None:
    bench.deliver("hang_in_transcribe")
    process = bench.start()
    wait_until(bench.worker_runs, SOON_S)
    waiting = psutil.Process(process.pid)
    before = waiting.num_ctx_switches()
    time.sleep(2)
    assert waiting.num_ctx_switches() == before
    assert psutil.Process(bench.agent_pid()).status() == psutil.STATUS_STOPPED
    assert bench.stop() == 130


def test_a_job_that_hangs_is_ended_at_its_deadline(bench: Bench) -> None:
    name = bench.deliver("hang_holding_the_interpreter", deadline_s=20.0)
    bench.start()
    answer = bench.answer(name)
    assert answer.ending is Ending.CRASHED
    assert answer.reason == "it took longer than 20 s, and was ended"
    wait_until(lambda: bench.measurement() is None and not bench.worker_runs(), SOON_S)
    assert bench.answer(bench.deliver()).ending is Ending.DONE
    assert bench.stop() == 130


def test_a_measurement_that_is_killed_costs_its_attempt_and_leaves_no_process(
    bench: Bench,
) -> None:
    name = bench.deliver("hang_holding_the_interpreter")
    bench.start()
    wait_until(bench.worker_runs, SOON_S)
    time.sleep(0.5)
    measuring = bench.measurement()
    assert measuring is not None
    measuring.kill()
    answer = bench.answer(name)
    assert answer.ending is Ending.CRASHED
    assert "SIGKILL" in answer.reason
    wait_until(lambda: not bench.worker_runs(), SOON_S)
    assert list(bench.outbox.iterdir()) == []
    assert bench.answer(bench.deliver()).ending is Ending.DONE
    assert bench.stop() == 130


def test_a_node_that_is_killed_takes_everything_with_it_and_goes_on_when_it_is_started_again(
    bench: Bench,
) -> None:
    name = bench.deliver("hang_in_transcribe")
    process = bench.start()
    wait_until(bench.worker_runs, SOON_S)
    process.kill()
    process.wait()
    wait_until(lambda: not bench.tool.processes(), SOON_S)
    (bench.agent / "deliveries" / name).unlink()
    second = bench.deliver(attempt=2)
    bench.start()
    assert bench.answer(second).ending is Ending.DONE
    assert len(Storage(str(bench.shared)).names()) == 1
    assert list(bench.outbox.iterdir()) == []
    assert bench.stop() == 130


def test_an_agent_that_is_killed_while_it_stands_still_loses_no_bundle(bench: Bench) -> None:
    bench.deliver()
    bench.start()
    wait_until(bench.measurement, SOON_S)
    os.kill(bench.agent_pid(), signal.SIGKILL)
    wait_until(lambda: bench.lives() == 2, SOON_S)
    # It was stored before the next agent was started.
    (stored,) = Storage(str(bench.shared)).names()
    assert stored.attempt == 1
    assert bench.stop() == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_node_with_its_run_sealed_and_its_answer_given(
    bench: Bench, number: signal.Signals
) -> None:
    name = bench.deliver("hang_in_transcribe")
    bench.start()
    wait_until(bench.worker_runs, SOON_S)
    assert bench.stop(number) == 130
    answer = bench.answer(name, 1)
    assert answer.ending is Ending.INTERRUPTED
    (sealed,) = (bench.data / "runs").glob("*/run.json")
    assert json.loads(sealed.read_bytes())["manifest"]["outcome"]["state"] == "interrupted"
    assert Storage(str(bench.shared)).names() == []


def test_what_cannot_be_stored_is_kept_over_a_kill_and_handed_in_before_it_joins_again(
    bench: Bench,
) -> None:
    name = bench.deliver()
    bench.start()
    wait_until(bench.measurement, SOON_S)
    wait_until(lambda: any(bench.outbox.glob("*.json")), SOON_S)
    bench.shared.rmdir()
    answer = bench.answer(name)
    assert answer.ending is Ending.NOT_STORED
    assert "there is no folder" in answer.reason
    wait_until(lambda: "cannot be stored; trying again" in bench.said, SOON_S)
    assert bench.lives() == 1  # it left the fleet, and does not ask for more
    assert len(list(bench.outbox.glob("*.zip"))) == 1
    bench.started[-1].kill()
    bench.started[-1].wait()
    bench.shared.mkdir()
    bench.start()
    wait_until(lambda: bench.lives() == 2, SOON_S)
    (stored,) = Storage(str(bench.shared)).names()
    assert stored.sha256 == answer.bundle_sha256
    assert list(bench.outbox.iterdir()) == []
    assert bench.stop() == 130


def test_a_storage_disk_that_is_full_stores_nothing_half(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.shared.rmdir()
    with small_disk(bench.shared):
        ballast = fill(bench.shared, 0)
        name = bench.deliver()
        bench.start()
        answer = bench.answer(name)
        assert answer.ending is Ending.NOT_STORED
        assert "No space left on device" in answer.reason
        assert list(bench.shared.iterdir()) == [ballast]
        ballast.unlink()
        wait_until(lambda: bench.lives() == 2, SOON_S)
        assert len(Storage(str(bench.shared)).names()) == 1
        assert bench.stop() == 130


def test_a_bucket_that_refuses_loses_nothing(
    bench: Bench, bucket: str, refuse_after: Callable[[float], None]
) -> None:
    bench.to = bucket
    refuse_after(0)
    name = bench.deliver()
    bench.start()
    answer = bench.answer(name)
    assert answer.ending is Ending.NOT_STORED
    assert "credentials" in answer.reason
    assert bench.lives() == 1
    refuse_after(math.inf)
    wait_until(lambda: bench.lives() == 2, SOON_S)
    (stored,) = Storage(bucket).names()
    assert stored.sha256 == answer.bundle_sha256
    assert bench.answer(bench.deliver()).ending is Ending.DONE
    assert bench.stop() == 130
    secret = os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    written = [path for path in bench.folder.rglob("*") if path.is_file()]
    assert [path for path in written if secret in path.read_bytes()] == []


def test_a_refused_job_makes_a_node_join_again_with_fresh_labels(bench: Bench) -> None:
    name = bench.deliver(backends=("no-such-backend",))
    bench.start()
    assert bench.answer(name).ending is Ending.REFUSED
    wait_until(lambda: bench.lives() == 2, SOON_S)
    assert bench.answer(bench.deliver()).ending is Ending.DONE
    assert bench.stop() == 130


def test_a_node_that_the_fleet_refuses_ends_with_the_reason(bench: Bench) -> None:
    (bench.agent / "ends").write_text("2 the certificate is of another fleet")
    process = bench.start()
    assert process.wait(SOON_S) == 2
    assert bench.said == "the fleet refused this node: the certificate is of another fleet\n"


def test_a_machine_that_cannot_be_probed_is_tried_again(bench: Bench) -> None:
    broken = bench.folder / "broken"
    broken.mkdir()
    (broken / "psutil.py").write_text("raise ImportError('no psutil today')")
    path = [str(broken), *filter(None, [os.environ.get("PYTHONPATH")])]
    bench.variables = {"PYTHONPATH": os.pathsep.join(path)}
    bench.start()
    wait_until(lambda: "cannot be probed; trying again" in bench.said, SOON_S)
    assert "no psutil today" in bench.said
    (broken / "psutil.py").unlink()
    wait_until(lambda: bench.lives() == 1, SOON_S)
    assert bench.stop() == 130


def test_a_scheduler_that_is_away_is_tried_again(bench: Bench) -> None:
    ends = bench.agent / "ends"
    for _ in range(2):
        ends.write_text("10 cannot reach tls://host:8786")
        if not bench.started:
            bench.start()
        wait_until(lambda: not ends.exists(), SOON_S)
    wait_until(lambda: bench.lives() == 1, SOON_S)
    assert bench.said == "not in the fleet; trying again: cannot reach tls://host:8786\n"
    assert bench.stop() == 130


def test_a_node_does_not_even_try_to_join_while_somebody_measures(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_MACHINE_LOCK", str(bench.folder / "machine.lock"))
    with host.measuring_alone(print):
        process = bench.start()
        waits = f"process {os.getpid()} measures on this machine; waiting for its end\n"
        wait_until(lambda: bench.said == waits, SOON_S)
        time.sleep(2)
        assert [each.pid for each in bench.tool.processes()] == [process.pid]
        assert bench.stop() == 130
        bench.start()
        wait_until(lambda: bench.said.count(waits) == 2, SOON_S)
    wait_until(lambda: bench.lives() == 1, SOON_S)
    assert bench.stop() == 130


def test_two_nodes_do_not_share_a_folder(bench: Bench) -> None:
    bench.start()
    wait_until(lambda: bench.lives() == 1, SOON_S)
    assert bench.start().wait(SOON_S) == 2
    assert "runs already" in bench.said
    bench.started.pop()
    assert bench.stop() == 130


def test_what_is_no_delivery_ends_the_agent_and_not_the_node(bench: Bench) -> None:
    (bench.agent / "deliveries" / "bad").write_text('{"job": 1}')
    bench.start()
    wait_until(lambda: "a delivery cannot be read" in bench.said, SOON_S)
    (bench.agent / "deliveries" / "bad").unlink()
    assert bench.answer(bench.deliver()).ending is Ending.DONE
    assert bench.stop() == 130


def test_a_real_job_ends_as_a_bundle_with_the_words_that_were_said(bench: Bench) -> None:
    name = bench.deliver(backends=("faster-whisper",), audio=None)
    bench.start()
    answer = bench.answer(name, 2 * SOON_S)
    assert answer.ending is Ending.DONE, answer.reason
    assert answer.address is not None
    (cell,) = read.read_bundle(Path(answer.address)).cells
    assert cell.status == "ok"
    assert "the age of wisdom" in cell.samples[-1].text
    assert bench.stop() == 130


@pytest.mark.skipif(sys.platform != "linux", reason="simulates a Mac on Linux")
def test_on_a_simulated_mac_a_node_is_what_jobs_for_macs_ask_for(
    bench: Bench, tmp_path: Path
) -> None:
    mac = SimulatedMac(tmp_path / "mac")
    path = [str(FAKES / "mac"), *filter(None, [os.environ.get("PYTHONPATH")])]
    bench.variables = {
        **mac.variables(),
        "PATH": f"{mac.tools.folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path),
    }
    other = bench.deliver(on=("chip=~M[34]*",))
    bench.start()
    assert bench.answer(other).reason == "chip: M1; the job asks for chip=~M[34]*"
    # It joins again, and its first agent would take a job along that is handed to it meanwhile.
    wait_until(lambda: bench.lives() == 2, SOON_S)
    fitting = bench.deliver(on=("chip=~M[12]*", "os=macos>=15", "memory>=16G", "power=mains"))
    answer = bench.answer(fitting)
    assert answer.ending is Ending.DONE, answer.reason
    assert answer.address is not None
    run = read.read_bundle(Path(answer.address))
    assert run.manifest.machine.os == "Darwin"
    assert run.manifest.host[0].startswith("caffeinate -ims")
    assert bench.stop() == 130


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_killed_at_whatever_moment_nothing_is_lost_halved_or_left_over(
    bench: Bench, seed: int
) -> None:
    dice = random.Random(seed)
    names = [bench.deliver() for _ in range(2)]
    bench.start()
    for _ in range(4):
        time.sleep(dice.uniform(0.5, 5.0))
        victims: list[Callable[[], Any]] = [
            bench.started[-1].kill,
            lambda: os.kill(bench.agent_pid(), signal.SIGKILL),
            lambda: (found := bench.measurement()) and found.kill(),
        ]
        with contextlib.suppress(OSError, psutil.Error):  # it is not there
            dice.choice(victims)()
        time.sleep(0.2)
        if bench.started[-1].poll() is not None:
            bench.start()

    def missing() -> list[str]:
        there = {each.id for each in Storage(str(bench.shared)).names()}
        return [name for name in names if bench.delivered(name).job.id not in there]

    # What has no bundle is given again, as the coordinator does.
    for attempt in range(2, 6):
        for name in missing():
            bench.answer(bench.again(bench.delivered(name).job, attempt))
    assert bench.stop() == 130
    assert missing() == []
    stored = Storage(str(bench.shared)).names()
    for each in stored:
        read.read_bundle(bench.shared / str(each))
    assert len({(each.id, each.attempt) for each in stored}) == len(stored)
    assert sorted(path.name for path in bench.shared.iterdir()) == sorted(map(str, stored))
    assert list(bench.outbox.iterdir()) == []


def delivery(deadline_s: float | None = None, **asked: Any) -> Delivery:
    new = Job(request={"models": ("tiny.en",), **asked}, to="/x")
    return Delivery(job=new, attempt=1, deadline_s=deadline_s)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (delivery(60.0), 60.0),
        (delivery(60.0, budget_s=1.0), 60.0),
        (delivery(budget_s=300.0), 300 + node.PREPARE_S),
        (delivery(max_time_s=100.0, backends=("a", "b")), 200 + node.PREPARE_S),
        (delivery(max_time_s=100.0), 2000 + node.PREPARE_S),
        (delivery(), node.DEADLINE_S),
        (delivery(colour="red"), node.PREPARE_S),
    ],
)
def test_a_jobs_deadline_follows_from_what_limits_its_run(given: Delivery, expected: float) -> None:
    assert node.deadline_s(given) == expected
