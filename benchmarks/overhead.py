"""Does measuring through the tool change the measured times?

    python benchmarks/overhead.py [--backend NAME ...] [--sessions 8] [--samples 6]
        [--threads N] [-o FILE.json]

For every installed backend, a bare script (bare.py) and a worker of the tool are started with the
same interpreter, environment, weights, audio and settings. Both are warmed up, and then transcribe
in turn (bare, tool, tool, bare, ...). That is one session. Sessions use fresh processes, and
alternate which side starts first and which transcribes first. A session's ratio is
median(tool) / median(bare). The script prints the Hodges-Lehmann estimate over sessions on the log
scale, and the interval that inverts Wilcoxon's signed-rank test (Hollander, Wolfe & Chicken,
Nonparametric Statistical Methods, 3rd ed., section 3.3), at the smallest possible level from 95 %.
Target: 1.00 +/- 0.02.

The same is printed for CPU time (all threads of the process), which other jobs on the machine
disturb less.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mac_whisper_speedtest.audio import builtin
from mac_whisper_speedtest.audio.recording import write_pcm
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.errors import WeightsMissingError
from mac_whisper_speedtest.machine import describe
from mac_whisper_speedtest.weights.locate import locate
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.launch import Launch, launch, program
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

BARE = Path(__file__).with_name("bare.py")
PATIENT = Deadlines(load_s=600, warmup_s=1800, transcribe_s=1800)


class Sample(NamedTuple):
    """Seconds of one transcription: wall time and CPU time."""

    wall_s: float
    cpu_s: float


Take = Callable[[], Sample]


class Bare:
    """The plain script, waiting for a line before each transcription."""

    def __init__(self, argv: list[str], environment: Mapping[str, str], cwd: Path) -> None:
        self._process = subprocess.Popen(
            argv,
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._line("ready")

    def take(self) -> Sample:
        """One transcription, by the script's own clocks."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        wall, cpu = self._line("seconds").split()
        return Sample(float(wall), float(cpu))

    def close(self) -> None:
        """Let the script end."""
        self._process.communicate()

    def _line(self, begins: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:  # backends print
            if line.startswith(begins):
                return line.removeprefix(begins)
        raise RuntimeError(f"{BARE.name} ended with status {self._process.wait()}")


class Session:
    """The input of both sides, and the number of samples."""

    def __init__(self, backend: Backend, pcm: Path, samples: int, threads: int) -> None:
        self._backend, self._pcm, self._samples, self._threads = backend, pcm, samples, threads
        self._weights = locate(backend.model_info("tiny.en"), notify=print)
        with tempfile.TemporaryDirectory() as scratch, self._worker(Path(scratch)) as worker:
            self._precision = self._load(worker)

    def run(self, number: int) -> tuple[list[Sample], list[Sample]]:
        """Samples of the bare script and of the tool, one by one in turn.

        Of two equal processes, the one that started first was 1.7 % slower here, and the one that
        transcribes second finds the machine's memory in another state. So ``number`` decides which
        side starts first and which transcribes first: four sessions have every combination once.
        """
        tool_asked_first, tool_starts_first = number % 2 == 0, number // 2 % 2 == 0
        tool: list[Sample] = []
        script: list[Sample] = []
        with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
            sides = [
                (tool, functools.partial(self._through_tool, Path(scratch), stack)),
                (script, functools.partial(self._through_script, Path(scratch), stack)),
            ]
            started = [
                (taken, start()) for taken, start in (sides if tool_starts_first else sides[::-1])
            ]
            for _, take in started:
                take()  # warm-up
            if tool_asked_first != tool_starts_first:
                started.reverse()
            for index in range(self._samples):
                for taken, take in started if index % 2 == 0 else started[::-1]:
                    taken.append(take())
        return script, tool

    def _through_tool(self, scratch: Path, stack: contextlib.ExitStack) -> Take:
        worker = stack.enter_context(self._worker(scratch))
        self._load(worker)
        params = m.TranscribeParams(
            m.AudioParams(str(self._pcm), self._pcm.stat().st_size // 4),
            DecodeContract(),
        )

        def take() -> Sample:
            value = worker.transcribe(params).value
            assert value.cpu_s is not None
            return Sample(value.seconds, value.cpu_s)

        return take

    def _through_script(self, scratch: Path, stack: contextlib.ExitStack) -> Take:
        python = program(self._backend)
        assert python is not None
        words = [self._backend.name, str(self._weights.path), str(self._pcm)]
        words += [str(self._threads), self._precision]
        bare = Bare([python, str(BARE), *words], self._launch(scratch).environment, scratch)
        stack.callback(bare.close)
        return bare.take

    def _launch(self, scratch: Path) -> Launch:
        started = launch(self._backend, scratch=scratch, threads=self._threads)
        assert started is not None
        return started

    def _worker(self, scratch: Path) -> Worker:
        return Worker(self._launch(scratch), PATIENT)

    def _load(self, worker: Worker) -> str:
        """Have it import and load; return the precision in which it computes."""
        worker.hello()
        weights = self._weights
        model = ModelParams(weights.model, str(weights.path), weights.format)
        return worker.load(LoadParams(model, "auto", self._threads)).value.precision


def signed_rank_interval(values: list[float]) -> tuple[float, float, float, float]:
    """Hodges-Lehmann estimate, interval, and the interval's exact confidence."""
    n = len(values)
    walsh = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2))
    # Rank sum → number of the 2^n sign patterns that give it.
    counts = [1] + [0] * (n * (n + 1) // 2)
    for rank in range(1, n + 1):
        for total in range(len(counts) - 1, rank - 1, -1):
            counts[total] += counts[total - rank]
    cut, tail = 0, 0
    while 2 * (tail + counts[cut]) / 2**n <= 0.05:
        tail += counts[cut]
        cut += 1
    confidence = 1 - 2 * tail / 2**n
    if cut == 0:
        return statistics.median(walsh), -math.inf, math.inf, 1.0
    return statistics.median(walsh), walsh[cut - 1], walsh[-cut], confidence


def measure(
    backend: Backend, pcm: Path, sessions: int, samples: int, threads: int
) -> dict[str, object]:
    session = Session(backend, pcm, samples, threads)
    taken = []
    for number in range(sessions):
        pair = session.run(number)
        taken.append(pair)
        wall = [statistics.median(each.wall_s for each in side) for side in pair]
        print(
            f"  session {number + 1}/{sessions}: bare {wall[0]:.4f} s, tool {wall[1]:.4f} s, "
            f"ratio {wall[1] / wall[0]:.4f}",
            flush=True,
        )
    return {
        "backend": backend.name,
        "threads": threads,
        "wall": _ratio(taken, "wall_s"),
        "cpu": _ratio(taken, "cpu_s"),
        "bare": [script for script, _ in taken],
        "tool": [tool for _, tool in taken],
    }


def _words(found: Any) -> str:
    if found["low"] is None:
        return f"{found['ratio']:.4f}; six sessions and more give an interval"
    interval = f"{found['low']:.4f} to {found['high']:.4f} ({found['confidence']:.1%})"
    return f"{found['ratio']:.4f}, {interval}"


def _ratio(taken: list[tuple[list[Sample], list[Sample]]], clock: str) -> dict[str, float | None]:
    """Tool / bare script by one of the clocks, with its interval."""
    medians = [
        [statistics.median(getattr(each, clock) for each in side) for side in pair]
        for pair in taken
    ]
    logs = [math.log(tool / script) for script, tool in medians]
    estimate, low, high, confidence = signed_rank_interval(logs)
    known = math.isfinite(low)  # else there are too few sessions for any interval
    return {
        "ratio": math.exp(estimate),
        "low": math.exp(low) if known else None,
        "high": math.exp(high) if known else None,
        "confidence": confidence if known else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backend", action="append", default=[])
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--threads", type=int, default=describe.default_threads())
    parser.add_argument("--output", "-o", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    began = time.monotonic()
    results = []
    clip = builtin.load("short", notify=print)
    with tempfile.TemporaryDirectory() as folder:
        pcm = Path(folder) / "audio.f32"
        write_pcm(clip, pcm)
        for backend in registry.select(arguments.backend, registry.installed()):
            if program(backend) is None:
                print(f"{backend.name}: not installed, left out")
                continue
            print(backend.name, flush=True)
            try:
                row = measure(
                    backend, pcm, arguments.sessions, arguments.samples, arguments.threads
                )
            except WeightsMissingError as error:
                print(f"{backend.name}: {error.message}, left out")
                continue
            results.append(row)
            # After each backend, so that a later failure loses nothing.
            if arguments.output:
                document = {"machine": msgspec.to_builtins(describe.describe()), "results": results}
                text = json.dumps(document) + "\n"
                arguments.output.write_text(text, encoding="utf-8")
            for clock in ("wall", "cpu"):
                print(f"  {clock:4} tool / bare {_words(row[clock])}", flush=True)
    print(f"{time.monotonic() - began:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
