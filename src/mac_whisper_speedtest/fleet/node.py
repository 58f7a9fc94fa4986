"""A node: the small process of ``speedtest fleet join`` that owns everything on its machine.

It waits for a delivery from its agent (`fleet.agent`), stops the agent, has the job measured in a
process of its own, lets the agent go on, stores the bundle, and answers. It imports neither Dask
nor a store's library, and while it waits it does not wake up.

Before it joins, and after each job, it hands in what is in its outbox. It leaves the fleet while
something there cannot be stored, and joins again with fresh labels where a job did not suit it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from mac_whisper_speedtest import files, interrupts, paths
from mac_whisper_speedtest.errors import ExitCode, SpeedtestError, UsageError
from mac_whisper_speedtest.fleet import job
from mac_whisper_speedtest.fleet.children import END_TIMEOUT_S, ChildProcess, command
from mac_whisper_speedtest.fleet.job import Delivery, Ending, NodeAnswer
from mac_whisper_speedtest.machine import host
from mac_whisper_speedtest.printable import duration_text

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
"""Between two attempts to join."""
_FIRST_RETRY_S, _LONGEST_RETRY_S = 10.0, 600.0
"""Between two attempts to store a bundle."""
_STEADY_S = 60.0
"""An agent that lived this long had joined: the next one is started at once."""
_AGENT_END_S = 10.0
"""For the agent, to pass an answer on and to take its leave."""
_CHILD_END_S = 5.0
_LEAVES = (Ending.NOT_STORED, Ending.REFUSED)
_PROBE_TIMEOUT_S = 120.0
_HAND_IN_TIMEOUT_S = 3600.0
PREPARE_S = 3600.0
"""For what comes before the first sample: downloads, installs, hashing of weights."""
DEADLINE_S = 6 * 3600.0
"""Of a job whose request has no limit from which another one follows."""
_MOST_BACKENDS = 20
"""Of a request that names none."""


class NodeRefusedError(UsageError):
    """The fleet does not take this node."""


def deadline_s(delivery: Delivery) -> float:
    """The longest that a job may take here, in seconds; after that it hangs."""
    if delivery.deadline_s is not None:
        return delivery.deadline_s
    try:
        asked = delivery.job.asked()
    except SpeedtestError:
        return PREPARE_S  # it will be refused
    if asked.budget_s is not None:
        return asked.budget_s + PREPARE_S
    if asked.max_time_s is not None:
        cells = len(asked.models) * (len(asked.backends) or _MOST_BACKENDS)
        return cells * asked.max_time_s + PREPARE_S
    return DEADLINE_S


def join(name: str, agent: Sequence[str], *, notify: Callable[[str], None]) -> None:
    """Be a node of a fleet until Ctrl-C, SIGTERM or SIGHUP.

    No process outlives this call, and what was measured is stored or in the outbox.

    Args:
        name: of the node.
        agent: the program that connects it; `fleet.agent` says what it reads and writes.
        notify: called with a line for people.

    Raises:
        UsageError: another node of this data folder runs.
        NodeRefusedError: the fleet does not take it.
        StorageError: the data folder cannot be used.
        KeyboardInterrupt: a signal, after everything has ended.
    """
    with _own_folder() as folder, interrupts.held_back():
        node = _NodeProcess(name, agent, folder, notify)
        pause_s = _FIRST_PAUSE_S
        while True:
            node.empty_outbox()
            began = time.monotonic()
            useful = node.serve() or time.monotonic() - began >= _STEADY_S
            pause_s = _FIRST_PAUSE_S if useful else min(2 * pause_s, _LONGEST_PAUSE_S)
            with interrupts.released():
                time.sleep(pause_s)


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """The node's folder, which no other node uses."""
    folder = paths.data_dir() / "fleet"
    with files.storage_errors(f"use {folder}"):
        handle = os.open(files.private_folder(folder) / "node.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not files.claim_handle(handle):
            raise UsageError(
                f"a node that uses {folder} runs already",
                hint="end it first, or give this one a folder of its own: SPEEDTEST_DATA_DIR",
            )
        yield folder
    finally:
        os.close(handle)


class _NodeProcess:
    """What a node does, one thing after the other. Signals wait, except where it waits itself."""

    def __init__(
        self, name: str, agent: Sequence[str], folder: Path, notify: Callable[[str], None]
    ) -> None:
        self._name = name
        self._agent = agent
        self._folder = folder
        self._outbox = folder / "outbox"
        self._notify = notify
        self._interrupted = False
        self._said = ""

    def wait_for_quiet(self) -> None:
        """Wait while anybody measures on this machine: joining takes seconds of processor time."""
        with interrupts.released(), host.measuring_alone(self._say_once):
            pass

    def empty_outbox(self) -> None:
        """Hand in everything that is here, however long that takes."""
        pause_s = _FIRST_RETRY_S
        self.wait_for_quiet()
        while kept := [each for each in self._hand_in() if each.ending is not Ending.DONE]:
            # The first reason: of a storage that is away there are as many as bundles.
            self._say_once(
                f"bundles in {self._outbox} cannot be stored; trying again: {kept[0].reason}"
            )
            with interrupts.released():
                time.sleep(pause_s)
            self.wait_for_quiet()
            pause_s = min(2 * pause_s, _LONGEST_RETRY_S)

    def serve(self) -> bool:
        """Join, and carry out what is delivered until one side leaves; return whether any was.

        Raises:
            NodeRefusedError: the fleet does not take this node.
            KeyboardInterrupt: a signal.
        """
        labels, why = self._ask("probe", self._name, timeout_s=_PROBE_TIMEOUT_S)
        if not labels:
            self._say_once(f"this machine's labels cannot be probed; trying again: {why}")
            return False
        agent = ChildProcess(self._agent, self._folder / "agent.err")
        useful = False
        try:
            stays = agent.send(labels[0])
            while stays:
                with interrupts.released():
                    line = agent.line()
                if not line:
                    break
                delivery = job.decode_delivery(line.decode())
                useful = True
                answer = self._carry_out(delivery, agent)
                # Labels are probed again, or the outbox is emptied, before it joins again.
                stays = agent.send(job.encode(answer)) and answer.ending not in _LEAVES
                if self._interrupted:
                    raise KeyboardInterrupt
        except ValueError as error:
            self._notify(f"left the fleet: a delivery cannot be read: {error}")
        finally:
            status = agent.end(_AGENT_END_S)
        if status == ExitCode.USAGE:
            raise NodeRefusedError(f"the fleet refused this node: {agent.last_words}")
        if useful:
            self._said = ""
        else:
            self._say_once(f"not in the fleet; trying again: {agent.last_words or _ended(status)}")
        return useful

    def _say_once(self, reason: str) -> None:
        """Notify of a reason to wait, and not again while it stays the same."""
        if reason != self._said:
            self._notify(reason)
        self._said = reason

    def _carry_out(self, delivery: Delivery, agent: ChildProcess) -> NodeAnswer:
        """Measure a job while the agent is stopped, and store its bundle."""
        what = f"job {delivery.job.id[:12]}, attempt {delivery.attempt}"
        self._notify(f"{what}: measuring")
        agent.signal(signal.SIGSTOP)
        try:
            answer, stored = self._measure(delivery, agent)
        finally:
            agent.signal(signal.SIGCONT)
        try:
            if not (stored or self._interrupted):  # what it left is cleared up
                stored = self._hand_in()
        except KeyboardInterrupt:
            self._interrupted = True
        if answer.ending is Ending.DONE:
            reason = "the node was stopped; it stores the bundle when it is started again"
            kept = msgspec.structs.replace(answer, ending=Ending.NOT_STORED, reason=reason)
            same = (
                each for each in stored if (each.id, each.attempt) == (answer.id, answer.attempt)
            )
            answer = next(same, kept)
        said = f": {answer.reason}" if answer.reason else ""
        self._notify(f"{what}: {answer.ending}{said}")
        return answer

    def _measure(
        self, delivery: Delivery, agent: ChildProcess
    ) -> tuple[NodeAnswer, list[NodeAnswer]]:
        """How it went, and how the same process then handed in the bundle: starting one is slow."""
        limit_s = deadline_s(delivery)
        log = self._folder / "measure.log"
        child = ChildProcess(command("measure", self._name), log)
        line, late, stored = None, False, []
        try:
            child.send(job.encode(delivery))
            try:
                with interrupts.released():
                    line = child.line(limit_s)
                    late = line is None
                    agent.signal(signal.SIGCONT)  # what it does disturbs no measurement now
                    while line and (more := child.line(_HAND_IN_TIMEOUT_S)):
                        stored.append(job.decode_answer(more.decode()))
            except KeyboardInterrupt:
                self._interrupted = True
            if line is None:
                child.signal(signal.SIGTERM)
                line = child.line(END_TIMEOUT_S)
        finally:
            status = child.end()
        answer = NodeAnswer(
            id=delivery.job.id, attempt=delivery.attempt, ending=Ending.CRASHED,
            reason=f"the measurement ended with {_ended(status)}: {child.last_words}",
        )  # fmt: skip
        with contextlib.suppress(ValueError):
            found = job.decode_answer((line or b"").decode())
            if (found.id, found.attempt) == (answer.id, answer.attempt):
                answer = found
        if answer.ending is Ending.DONE:
            return answer, stored
        if late:
            reason = f"it took longer than {duration_text(limit_s)}, and was ended"
            answer = msgspec.structs.replace(answer, ending=Ending.CRASHED, reason=reason)
        elif self._interrupted:
            answer = msgspec.structs.replace(answer, ending=Ending.INTERRUPTED)
        return answer, []

    def _hand_in(self) -> list[NodeAnswer]:
        """Store what is in the outbox, and clear up after attempts that have no bundle."""
        if not any(self._outbox.glob("[0-9a-f]*")):
            return []
        lines, why = self._ask("hand-in", timeout_s=_HAND_IN_TIMEOUT_S)
        answers = [job.decode_answer(line) for line in lines]
        settled = {f"{each.id}.{each.attempt}" for each in answers}
        return answers + [
            NodeAnswer(
                id=path.stem.partition(".")[0], attempt=int(path.stem.partition(".")[2]),
                ending=Ending.NOT_STORED, reason=why,
            )
            for path in self._outbox.glob("[0-9a-f]*.zip")
            if path.stem not in settled
        ]  # fmt: skip

    def _ask(self, *words: str, timeout_s: float) -> tuple[list[str], str]:
        """The lines of a child that needs no input, and how it ended."""
        child = ChildProcess(command(*words), self._folder / f"{words[0]}.log")
        lines = []
        try:
            with interrupts.released():
                while line := child.line(timeout_s):
                    lines.append(line.decode())
        finally:
            status = child.end(_CHILD_END_S)
        return lines, child.last_words or _ended(status)


def _ended(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"status {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
