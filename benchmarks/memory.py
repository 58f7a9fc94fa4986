"""How much memory do the largest jobs of the parent process take?

    python benchmarks/memory.py [--minutes 100] [--size medium] [--other FOLDER] [-o FILE.json]

- audio: a folder of 30 s recordings with a total of --minutes is decoded, described and written for
  workers, as before a run's first round;
- q5_0: a float16 network of that size, with random weights in ggml's format, is quantized and
  verified, as `speedtest models pull` does for whisper.cpp;
- mlx, mlx-npz, openai: the same network is converted into that format in float32, which changes
  every tensor, and verified.

Each job is a separate process. The script prints its peak resident memory, the peak without file
pages (on Linux; the system can reclaim those), and seconds. With --other, the checkout in that
folder then does the same jobs with the same files.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np

HERE = Path(__file__).parents[1]
SECONDS = 30
RATE = 16_000
POLL_S = 0.005
SIZES = {"tiny": (384, 6, 4), "small": (768, 12, 12), "medium": (1024, 16, 24)}
SIZES["large-v3"] = (1280, 20, 32)
"""Size → width, heads and layers of either side."""


def make_audio(folder: Path, minutes: int) -> None:
    """Recordings of noise, all different."""
    folder.mkdir()
    noise = np.random.default_rng(1)
    for number in range(minutes * 60 // SECONDS):
        with wave.open(str(folder / f"{number:04d}.wav"), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(RATE)
            out.writeframes(noise.integers(-9000, 9000, SECONDS * RATE, dtype="<i2").tobytes())


def audio(folder: Path) -> None:
    """The work of a run on its recordings before the first round."""
    from mac_whisper_speedtest.accuracy.hallucination import silent_spans
    from mac_whisper_speedtest.audio import select
    from mac_whisper_speedtest.request import Request
    from mac_whisper_speedtest.run.inputs import WorkerInputs

    request = Request(models=("tiny.en",), audio=str(folder))
    speech = select.load_audio(request, notify=lambda _line: None)
    for each in speech.recordings:
        silent_spans(each.samples)
    assert speech.pcm_sha256
    with tempfile.TemporaryDirectory() as work:
        WorkerInputs(speech.recordings, Path(work), {})


class Noise(Mapping[str, Any]):
    """Random tensors, each created on access; the positions are Whisper's sines."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = shapes
        self._block = np.random.default_rng(1).normal(0, 0.1, 1 << 20).astype("<f2")

    def __getitem__(self, name: str) -> Any:
        from mac_whisper_speedtest.convert.checkpoint import ENCODER_POSITIONS, sinusoids

        if name == ENCODER_POSITIONS:
            return sinusoids(*self._shapes[name])
        return np.resize(self._block, self._shapes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def make_network(path: Path, size: str) -> None:
    """A float16 network in ggml's format, with as many tokens as a real one."""
    from mac_whisper_speedtest.convert import ggml
    from mac_whisper_speedtest.convert.checkpoint import Checkpoint, Dims, expected_shapes

    width, heads, layers = SIZES[size]
    mels, tokens = (128, 51_866) if size == "large-v3" else (80, 51_865)
    dims = Dims(mels, 1500, width, heads, layers, tokens, 448, width, heads, layers)
    vocabulary = tuple(f"token {number}".encode() for number in range(50_257))
    ggml.write(Checkpoint(dims, Noise(expected_shapes(dims)), vocabulary), path)


def convert(source: Path, target: str, precision: str) -> None:
    """Convert, read back and verify."""
    from mac_whisper_speedtest.convert import conversion

    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        conversion.convert(source, target, Path(folder) / "product", precision=precision)


JOBS: dict[str, Callable[[Path], None]] = {
    "audio": audio,
    "q5_0": functools.partial(convert, target="ggml", precision="q5_0"),
    **{
        name: functools.partial(convert, target=name, precision="float32")
        for name in ("mlx", "mlx-npz", "openai")
    },
}


class Memory:
    """The peak resident memory while a block runs, in bytes: in total, and without file pages."""

    def __init__(self) -> None:
        self.all = self.own = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        process = psutil.Process()
        while not self._done.wait(POLL_S):
            found = process.memory_info()
            self.all = max(self.all, found.rss)
            self.own = max(self.own, found.rss - getattr(found, "shared", 0))


def in_child(checkout: Path, job: str, place: Path) -> dict[str, float]:
    """The cost of a job in a process with the code of ``checkout``."""
    with tempfile.TemporaryDirectory(dir=place.parent) as cache:
        done = subprocess.run(
            [sys.executable, __file__, "--job", job, "--place", str(place)],
            capture_output=True,
            check=False,
            env={
                **os.environ,
                "PYTHONPATH": str(checkout / "src"),
                "SPEEDTEST_CACHE_DIR": cache,
                "SPEEDTEST_DATA_DIR": cache,
            },
        )
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(job: str, place: Path) -> dict[str, float]:
    """A job in this process."""
    began = time.perf_counter()
    with Memory() as memory:
        JOBS[job](place)
    seconds = time.perf_counter() - began
    return {"peak_bytes": memory.all, "own_bytes": memory.own, "seconds": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=int, default=100)
    parser.add_argument("--size", choices=SIZES, default="medium")
    parser.add_argument("--only", choices=JOBS)
    parser.add_argument("--other", type=Path, help="another checkout of this project")
    parser.add_argument("--output", "-o", type=Path)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measure(arguments.job, arguments.place)))
        return 0
    checkouts = {"this": HERE} | ({"other": arguments.other} if arguments.other else {})
    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        audio_folder, network = Path(folder) / "audio", Path(folder) / "network.bin"
        for job in [arguments.only] if arguments.only else JOBS:
            place = audio_folder if job == "audio" else network
            if job == "audio":
                make_audio(place, arguments.minutes)
            elif not network.exists():
                make_network(network, arguments.size)
            results[job] = {}
            for name, checkout in checkouts.items():
                found = in_child(checkout.resolve(), job, place)
                results[job][name] = found
                print(
                    f"{job:<8} {name:<6} peak {found['peak_bytes'] / 1e6:.0f} MB, without files "
                    f"{found['own_bytes'] / 1e6:.0f} MB, {found['seconds']:.1f} s",
                    flush=True,
                )
    if arguments.output:
        from mac_whisper_speedtest.machine import describe

        document = {
            "machine": msgspec.to_builtins(describe.describe()),
            "asked": {"minutes": arguments.minutes, "size": arguments.size},
            "results": results,
        }
        arguments.output.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
