"""Does measuring through the tool change what is measured?

    python benchmarks/overhead.py [--backend NAME ...] [--sessions 8] [--samples 6] [-o FILE.json]

For every backend that is installed, a bare script (bare.py) and a worker of the tool are started
with the same interpreter, environment, weights, audio and settings, both warmed up, and then asked
in turn for one transcription each (bare, tool, tool, bare, ...). That is one session; sessions use
fresh processes. A session's ratio is median(tool) / median(bare); printed are the Hodges-Lehmann
estimate over sessions on the log scale, and the interval that inverts Wilcoxon's signed-rank test
(Hollander, Wolfe & Chicken, Nonparametric Statistical Methods, 3rd ed., section 3.3), at 95 % or as
near above it as so many sessions allow. Wanted: 1.00 +/- 0.02.
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

import msgspec

from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.measure import machine
from mac_whisper_speedtest.models.locate import locate
from mac_whisper_speedtest.speech import builtin, write_pcm
from mac_whisper_speedtest.worker import messages as m
from mac_whisper_speedtest.worker.launch import interpreter, launch
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

BARE = Path(__file__).with_name("bare.py")
PATIENT = Deadlines(load_s=600, warmup_s=1800, transcribe_s=1800)


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

    def seconds(self) -> float:
        """Seconds of one transcription by the script's own clock."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._line("seconds"))

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
    backend: Backend, pcm: Path, samples: int, threads: int, precision: str, *, tool_first: bool
) -> tuple[list[float], list[float]]:
    """Seconds of the bare script and of the tool, sample by sample in turn.

    ``tool_first`` decides which of the two is started and asked first: whoever comes second finds
    the machine's memory in another state.
    """
    weights = locate("tiny.en", backend.form, backend.weights_precision, announce=print)
    python = interpreter(backend)
    assert python is not None
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        started = launch(backend, scratch=Path(scratch), threads=threads)
        assert started is not None

        def start_bare() -> Bare:
            words = [backend.name, str(weights.path), str(pcm), str(threads), precision]
            script = Bare([python, str(BARE), *words], dict(started.environment), Path(scratch))
            stack.callback(script.close)
            return script

        def start_worker() -> Worker:
            worker = stack.enter_context(Worker(started, PATIENT))
            worker.hello()
            model = m.ModelParams(weights.model, str(weights.path), weights.form)
            loaded = worker.load(m.LoadParams(model, "auto", threads)).value
            assert loaded.precision == precision
            return worker

        if tool_first:
            worker, bare = start_worker(), start_bare()
        else:
            bare, worker = start_bare(), start_worker()
        params = m.TranscribeParams(
            m.AudioParams(str(pcm), pcm.stat().st_size // 4),
            m.ContractParams(**asdict(DecodeContract())),
        )

        def through_tool() -> float:
            return worker.transcribe(params).value.seconds

        through_tool(), bare.seconds()  # warm-up
        tool_s, bare_s = [], []
        for index in range(samples):
            if (index % 2 == 0) == tool_first:
                tool_s.append(through_tool())
                bare_s.append(bare.seconds())
            else:
                bare_s.append(bare.seconds())
                tool_s.append(through_tool())
    return bare_s, tool_s


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
    # What "auto" means on a CPU: the weights' own precision, except that CTranslate2 widens it.
    precision = "float32" if backend.form == "ctranslate2" else backend.weights_precision
    logs, bare_all, tool_all = [], [], []
    for number in range(sessions):
        bare_s, tool_s = session(
            backend, pcm, samples, threads, precision, tool_first=number % 2 == 0
        )
        logs.append(math.log(statistics.median(tool_s) / statistics.median(bare_s)))
        bare_all.append(bare_s)
        tool_all.append(tool_s)
        print(
            f"  session {number + 1}/{sessions}: bare {statistics.median(bare_s):.4f} s, "
            f"tool {statistics.median(tool_s):.4f} s, ratio {math.exp(logs[-1]):.4f}",
            flush=True,
        )
    estimate, low, high, confidence = signed_rank_interval(logs)
    return {
        "backend": backend.name,
        "ratio": math.exp(estimate),
        "low": math.exp(low),
        "high": math.exp(high),
        "confidence": confidence,
        "bare_s": bare_all,
        "tool_s": tool_all,
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
            results.append(measure(backend, pcm, arguments.sessions, arguments.samples))
    print(f"\n{'backend':16} {'tool / bare':>11}  interval")
    for row in results:
        print(
            f"{row['backend']:16} {row['ratio']:11.4f}  "
            f"{row['low']:.4f} to {row['high']:.4f} ({row['confidence']:.1%})"
        )
    print(f"{time.monotonic() - began:.0f} s in all")
    if arguments.output:
        document = {"machine": msgspec.to_builtins(machine.describe()), "results": results}
        arguments.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
