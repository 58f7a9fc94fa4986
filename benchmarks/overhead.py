"""Does measuring through the tool change what is measured?

    python benchmarks/overhead.py [--backend NAME ...] [--sessions 8] [--samples 6] [-o FILE.json]

For every backend that is installed, a bare script (bare.py) and a worker of the tool are started
with the same interpreter, environment, weights, audio and settings, both warmed up, and then asked
in turn for one transcription each (bare, tool, tool, bare, ...). That is one session; sessions use
fresh processes. A session's ratio is median(tool) / median(bare); printed are the Hodges-Lehmann
estimate over sessions on the log scale, and the interval that inverts Wilcoxon's signed-rank test
(Hollander, Wolfe & Chicken, Nonparametric Statistical Methods, 3rd ed., section 3.3), at 95 % or as
near above it as so many sessions allow. Wanted: 1.00 +/- 0.02.

The same is printed of processor time (all threads of the process), which other jobs on the machine
disturb less.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.errors import WeightsMissingError
from mac_whisper_speedtest.measure import machine
from mac_whisper_speedtest.models.locate import locate
from mac_whisper_speedtest.speech import builtin, write_pcm
from mac_whisper_speedtest.worker import messages as m
from mac_whisper_speedtest.worker.launch import interpreter, launch
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

BARE = Path(__file__).with_name("bare.py")
PATIENT = Deadlines(load_s=600, warmup_s=1800, transcribe_s=1800)


class Sample(NamedTuple):
    """Seconds of one transcription: by a wall clock, and on the processor."""

    wall_s: float
    cpu_s: float


class Bare:
    """The plain script, waiting for a line before each transcription."""

    def __init__(self, argv: list[str], environment: dict[str, str], cwd: Path) -> None:
        self._process = subprocess.Popen(
            argv,
            env=environment,
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


def session(
    backend: Backend, pcm: Path, samples: int, threads: int, *, tool_first: bool
) -> tuple[list[Sample], list[Sample]]:
    """Samples of the bare script and of the tool, one by one in turn.

    ``tool_first`` decides which of the two is asked first, every other time: whoever comes second
    finds the machine's memory in another state.
    """
    network = backend.network_for("tiny.en")
    assert network is not None
    weights = locate(network, backend.form, backend.weights_precision, announce=print)
    python = interpreter(backend)
    assert python is not None
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        started = launch(backend, scratch=Path(scratch), threads=threads)
        assert started is not None
        worker = stack.enter_context(Worker(started, PATIENT))
        worker.hello()
        model = m.ModelParams(weights.model, str(weights.path), weights.form)
        loaded = worker.load(m.LoadParams(model, "auto", threads)).value
        words = [backend.name, str(weights.path), str(pcm), str(threads), loaded.precision]
        bare = Bare([python, str(BARE), *words], dict(started.environment), Path(scratch))
        stack.callback(bare.close)
        params = m.TranscribeParams(
            m.AudioParams(str(pcm), pcm.stat().st_size // 4),
            m.ContractParams(**asdict(DecodeContract())),
        )

        def through_tool() -> Sample:
            value = worker.transcribe(params).value
            assert value.cpu_s is not None
            return Sample(value.seconds, value.cpu_s)

        through_tool(), bare.take()  # warm-up
        tool, script = [], []
        for index in range(samples):
            if (index % 2 == 0) == tool_first:
                tool.append(through_tool())
                script.append(bare.take())
            else:
                script.append(bare.take())
                tool.append(through_tool())
    return script, tool


def signed_rank_interval(values: list[float]) -> tuple[float, float, float, float]:
    """Hodges-Lehmann estimate, interval, and the interval's exact confidence."""
    n = len(values)
    walsh = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2))
    # How many of the 2^n sign patterns give each rank sum.
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


def measure(backend: Backend, pcm: Path, sessions: int, samples: int) -> dict[str, object]:
    threads = machine.default_threads()
    taken = []
    for number in range(sessions):
        pair = session(backend, pcm, samples, threads, tool_first=number % 2 == 0)
        taken.append(pair)
        wall = [statistics.median(each.wall_s for each in side) for side in pair]
        print(
            f"  session {number + 1}/{sessions}: bare {wall[0]:.4f} s, tool {wall[1]:.4f} s, "
            f"ratio {wall[1] / wall[0]:.4f}",
            flush=True,
        )
    return {
        "backend": backend.name,
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
    """Tool over bare script by one of the clocks, with its interval."""
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
    parser.add_argument("--output", "-o", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    began = time.monotonic()
    results = []
    clip = builtin.load("short", announce=print)
    with tempfile.TemporaryDirectory() as folder:
        pcm = Path(folder) / "audio.f32"
        write_pcm(clip, pcm)
        for backend in registry.select(arguments.backend, registry.installed()):
            if interpreter(backend) is None:
                print(f"{backend.name}: not installed, left out")
                continue
            print(backend.name, flush=True)
            try:
                row = measure(backend, pcm, arguments.sessions, arguments.samples)
            except WeightsMissingError as error:
                print(f"{backend.name}: {error.message}, left out")
                continue
            results.append(row)
            # After each backend: what was measured is not lost when a later one fails.
            if arguments.output:
                document = {"machine": msgspec.to_builtins(machine.describe()), "results": results}
                text = json.dumps(document) + "\n"
                arguments.output.write_text(text, encoding="utf-8")
            for clock in ("wall", "cpu"):
                print(f"  {clock:4} tool / bare {_words(row[clock])}", flush=True)
    print(f"{time.monotonic() - began:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
