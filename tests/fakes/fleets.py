"""Simulated machines on one network, each with its own address, processes and folders.

A machine is a network, process and mount namespace in one user namespace (so that it works without
being root), joined to the others by a bridge. What runs on it sees only its own processes, and the
kernel ends all of them with the machine, however this program ends: nothing is left behind.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from mac_whisper_speedtest.fleet.ledger import JobState, Ledger
from mac_whisper_speedtest.fleet.settings import DEFAULT_PORT

_INIT = "echo up; cat; :"
"""The first process of a machine: ends with its stdin, and reaps orphans (a shell does)."""

TOOL = (sys.executable, "-m", "mac_whisper_speedtest")


@functools.cache
def missing() -> str:
    """Why machines cannot be simulated here; empty if they can."""
    if sys.platform != "linux":
        return "network namespaces exist on Linux only"
    for tool in ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            return f"the program {tool} is not installed"
    try:
        with Network():
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"this system refuses network namespaces: {error}"


class Program:
    """A program on a machine."""

    def __init__(self, entered: subprocess.Popen[bytes], log: Path) -> None:
        self._entered = entered
        self._log = log

    @property
    def output(self) -> str:
        """What it has printed so far, on either stream."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def expect(self, words: str, timeout_s: float = 60) -> None:
        """Wait until it has printed the words."""
        wait_until(lambda: words in self.output or not self.running(), timeout_s)
        assert words in self.output, self.output

    @property
    def process(self) -> psutil.Process:
        """The program itself, a child of the process that entered the machine."""
        return psutil.Process(self._entered.pid).children()[0]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        self.process.send_signal(number)

    def stop(self, timeout_s: float = 30) -> tuple[int, str]:
        """Ask it to end, as a system does that is shut down."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._entered.poll() is None

    def wait(self, timeout_s: float = 60) -> tuple[int, str]:
        """Its exit status and what it printed, once it has ended."""
        return self._entered.wait(timeout_s), self.output


class Machine:
    """A simulated machine."""

    def __init__(self, name: str, number: int, network: Network) -> None:
        self.name = name
        self.address = f"10.86.0.{number}"
        self.folder = network.folder / name
        self.data = self.folder / "data"
        self._network = network
        self._starts = self._programs = 0
        self._stopped_before: set[int] = set()
        self._entered: list[subprocess.Popen[bytes]] = []
        for folder in (self.data, self.folder / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        self._start()

    def _start(self) -> None:
        self._starts += 1
        self._link = f"{self.address.rpartition('.')[2]}-{self._starts}"
        self._init = _first_process([*self._network.inside(), *_unshare("-nmp")])
        self._number = psutil.Process(self._init.pid).children()[0].pid
        self._namespace = _namespace(self._number)
        self._network.run(
            f"ip link add {self._link} type veth peer name eth0 netns {self._number}",
            f"ip link set {self._link} master lan up",
        )
        self.run(
            f"ip addr add {self.address}/24 dev eth0",
            "ip link set lo up",
            "ip link set eth0 up",
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a program on this machine."""
        return {
            **os.environ,
            "SPEEDTEST_DATA_DIR": str(self.data),
            "SPEEDTEST_MACHINE_LOCK": str(self.folder / "machine.lock"),
            "SPEEDTEST_RETAKE": "0",  # the real machine is busy with the other simulated ones
            "TMPDIR": str(self.folder / "tmp"),
            "COLUMNS": "80",
        }

    def run(self, *commands: str) -> None:
        """Run shell commands as this machine's administrator."""
        for command in commands:
            subprocess.run([*self.inside(), "sh", "-c", command], check=True, timeout=20)

    def inside(self) -> list[str]:
        """Words before a command that let it run on this machine."""
        return [
            "nsenter",
            "-t",
            str(self._number),
            "-U",
            "--preserve-credentials",
            "-n",
            "-m",
            "-p",
        ]

    def start(self, *words: object, program: Sequence[str] = TOOL, **variables: str) -> Program:
        """Start ``speedtest WORDS`` (or another program) on this machine."""
        self._programs += 1
        log = self.folder / f"{self._programs:03d}.log"
        with log.open("wb") as output:
            entered = subprocess.Popen(
                [*self.inside(), *program, *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self.environment, **variables},
                cwd=self.folder,
                start_new_session=True,
            )
        self._entered.append(entered)
        return Program(entered, log)

    def call(self, *words: object, timeout_s: float = 120) -> str:
        """What ``speedtest WORDS`` prints; it must succeed."""
        program = self.start(*words)
        status, output = program.wait(timeout_s)
        assert status == 0, f"speedtest {' '.join(map(str, words))} on {self.name}: {output}"
        return output

    def processes(self, words: str = "") -> list[psutil.Process]:
        """Every living process on this machine whose command contains the words, oldest first."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if (
                    _namespace(process.pid) == self._namespace
                    and process.status() != psutil.STATUS_ZOMBIE
                    and words in " ".join(process.cmdline())
                ):
                    found.append(process)
        return sorted(found, key=lambda process: process.create_time())

    def nodes(self) -> list[psutil.Process]:
        """The process of ``fleet join``, if it is there."""
        return self.processes("mac_whisper_speedtest fleet join")

    def agents(self) -> list[psutil.Process]:
        """The agent, if it is there."""
        return self.processes("mac_whisper_speedtest.fleet.agent")

    def measurements(self) -> list[psutil.Process]:
        """The process that carries out a job and hands in its bundle, if it is there."""
        return self.processes("fleet.children measure")

    def cut(self) -> None:
        """Take the machine off the network: as if its cable were pulled."""
        self._network.run(f"ip link set {self._link} down")

    def mend(self) -> None:
        """Connect it again."""
        self._network.run(f"ip link set {self._link} up")

    def sleep(self) -> None:
        """Stop every process, as a laptop does whose lid is closed."""
        self.cut()
        for process in self.processes()[2:]:
            if process.status() == psutil.STATUS_STOPPED:
                self._stopped_before.add(process.pid)
            process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let every process go on that was not stopped before the machine slept."""
        self.mend()
        for process in self.processes()[2:]:
            if process.pid not in self._stopped_before:
                process.send_signal(signal.SIGCONT)
        self._stopped_before.clear()
        for entered in self._entered:  # nsenter stops with what it started
            entered.send_signal(signal.SIGCONT)

    def crash(self) -> None:
        """End every process at once and start the machine again: its folders are kept."""
        self.off()
        self._start()

    def off(self) -> None:
        """End every process at once: the kernel does, with the first one."""
        _end(self._init)
        wait_until(lambda: not psutil.pid_exists(self._number))
        for entered in self._entered:
            entered.wait()


class Network:
    """Simulated machines on a bridge, in a folder of their own."""

    def __init__(self, folder: Path = Path("/tmp")) -> None:
        self.folder = folder
        self.machines: dict[str, Machine] = {}

    def __enter__(self) -> Self:
        self._init = _first_process(_unshare("-rn"))
        self.run("ip link add lan type bridge", "ip link set lan up")
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self.machines.values():
            machine.off()
        _end(self._init)

    def inside(self) -> list[str]:
        """Words before a command that let it run where the bridge is."""
        return ["nsenter", "-t", str(self._init.pid), "-U", "--preserve-credentials", "-n"]

    def run(self, *commands: str) -> None:
        """Run shell commands as the network's administrator."""
        for command in commands:
            subprocess.run([*self.inside(), "sh", "-c", command], check=True, timeout=20)

    def add(self, name: str) -> Machine:
        """Connect a new machine."""
        machine = Machine(name, len(self.machines) + 1, self)
        self.machines[name] = machine
        return machine


def wait_until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout_s:g} s")
        time.sleep(0.05)


def _namespace(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/pid").readlink()


def _unshare(kinds: str) -> list[str]:
    processes = ["--fork", "--kill-child", "--mount-proc"] if "p" in kinds else []
    return ["unshare", kinds, *processes]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _first_process(words: list[str]) -> subprocess.Popen[bytes]:
    """Start the process that holds namespaces. Raises OSError if they are refused."""
    process = subprocess.Popen(
        [*words, "sh", "-c", _INIT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != b"up":
        process.kill()
        _, said = process.communicate()
        raise OSError(said.decode(errors="replace").strip())
    return process


class Fleet:
    """A fleet on a network: a desk with scheduler and client, and nodes.

    Args:
        network: where.
        names: of the nodes, each a machine of its own.
    """

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        self.desk = network.add("desk")
        self.nodes = {name: network.add(name) for name in names}
        self.storage = str(network.folder / "storage")
        Path(self.storage).mkdir()
        self._packages = network.folder / "packages"
        self._packages.mkdir()
        wanted = [word for name in names for word in ("--node", name)]
        self.desk.call("fleet", "init", self.desk.address, *wanted, "-o", self._packages)
        self.scheduler = self.serve()

    def serve(self) -> Program:
        """Start the scheduler, and return when it listens."""
        scheduler = self.desk.start("fleet", "serve")
        scheduler.expect("Scheduler at")
        return scheduler

    def join(self, name: str, program: Sequence[str] = TOOL, **variables: str) -> Program:
        """Start a node, with its package the first time."""
        package = self._packages / f"fleet-{name}.zip"
        if not package.exists():
            return self.nodes[name].start("fleet", "join", program=program, **variables)
        used = package.rename(package.with_suffix(".used.zip"))
        return self.nodes[name].start("fleet", "join", "--from", used, program=program, **variables)

    def run(self, *words: object, **variables: str) -> Program:
        """Start ``fleet run`` with a storage that all machines share."""
        return self.desk.start(
            *("fleet", "run", "--model", "tiny.en", *words, "--to", self.storage), **variables
        )

    @property
    def ledger(self) -> Path:
        """The client's ledger."""
        return self.desk.data / "fleet" / "ledger.sqlite"

    def wait_for_nodes(self, count: int, timeout_s: float = 60) -> None:
        """Wait until the agents of so many nodes have a connection to the scheduler."""

        def connected(machine: Machine) -> bool:
            established = f":{DEFAULT_PORT:04X} 01 "
            return any(
                established in Path(f"/proc/{agent.pid}/net/tcp").read_text(encoding="ascii")
                for agent in machine.agents()
            )

        wait_until(lambda: sum(map(connected, self.nodes.values())) >= count, timeout_s)

    def account(self, stored: Collection[str] | None = None) -> Account:
        """What became of all jobs, by the ledger and by what is in storage."""
        if stored is None:
            stored = [path.name for path in Path(self.storage).iterdir()]
        ledger = Ledger(self.ledger)
        try:
            jobs, bundles = ledger.jobs(), ledger.bundles()
            attempts = Counter(str(attempt.state) for attempt in ledger.attempts())
        finally:
            ledger.close()
        return Account(
            jobs=len(jobs),
            lost=sum(each.state is not JobState.DONE for each in jobs),
            attempts=dict(attempts),
            duplicates=len(bundles) - len({each.job for each in bundles}),
            late=sum(each.late for each in bundles),
            unaccounted=sorted({*stored} ^ {each.name for each in bundles}),
        )


@dataclass(frozen=True)
class Account:
    """What became of a fleet's jobs.

    Attributes:
        jobs: how many there are.
        lost: how many of them are not done.
        attempts: state → how many attempts ended so.
        duplicates: bundles of jobs that another bundle has done.
        late: bundles that the ledger has recorded as second measurements.
        unaccounted: files in storage that the ledger does not have, or the other way round.
    """

    jobs: int
    lost: int
    attempts: dict[str, int]
    duplicates: int
    late: int
    unaccounted: list[str]
