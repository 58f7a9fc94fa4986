"""How long does decoding an hour of mp3 or m4a to 16 kHz samples take, compared with ffmpeg?

    python benchmarks/decode.py [--ffmpeg PATH] [--minutes 60] [--sessions 3] [--files FOLDER]
                                [-o FILE.json]

The recording behind the built-in clips is repeated for an hour and encoded as stereo mp3 and m4a at
44.1 kHz, 128 kbit/s. Then each file is decoded, mixed to mono, resampled and written as float32 by
the tool (a fresh Python that streams `audio.decode.blocks` into a file, as the PCM cache does) and
by `ffmpeg -ac 1 -ar 16000 -f f32le`, in turn: tool, ffmpeg, ffmpeg, tool. That is one session. Each
is a separate process, timed from start to end, so that Python's start counts too. The script prints
the ratio tool / ffmpeg over sessions with its 95 % interval (`stats.intervals.of_ratio`), for wall
time and CPU time, and the highest resident memory of each. Target: a wall ratio of at most 1.3.

ffmpeg resamples with its own swr here, which is faster and lets more aliasing through than the
tool's soxr HQ. Without --ffmpeg, ffmpeg is searched for in PATH; the imageio-ffmpeg wheel contains
one too: `python -m venv DIR && DIR/bin/pip install imageio-ffmpeg`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil

from mac_whisper_speedtest.audio import builtin
from mac_whisper_speedtest.machine import describe
from mac_whisper_speedtest.stats import intervals

RATE = 44_100
POLL_S = 0.02
CODECS = {"mp3": "libmp3lame", "m4a": "aac"}
OURS = """
import sys
from pathlib import Path
from mac_whisper_speedtest.audio.decode import blocks
with open(sys.argv[2], "wb") as out:
    for block in blocks(Path(sys.argv[1])):
        out.write(block.data)
"""


class Taken(NamedTuple):
    """The cost of one decoding: seconds of wall and CPU time, and bytes of memory."""

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int


def make(path: Path, minutes: float) -> None:
    """Encode the built-in reading repeatedly, in the format of ``path``'s suffix."""
    import av
    import numpy as np
    import soxr

    reading = soxr.resample(builtin.load("cities", notify=print).samples, 16_000, RATE)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(CODECS[path.suffix[1:]], rate=RATE)
        stream.layout, stream.bit_rate = "stereo", 128_000
        for start in range(0, round(minutes * 60 * RATE), RATE):
            length = min(RATE, round(minutes * 60 * RATE) - start)
            mono = np.take(reading, range(start, start + length), mode="wrap")
            frame = av.AudioFrame.from_ndarray(
                np.stack([mono, mono]), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def run(command: list[str]) -> Taken:
    """Run a program to its end and return its cost."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    peak = 0
    ended = 0
    while not ended:
        # wait4's peak includes this script before exec, so the memory is read from the process.
        with contextlib.suppress(psutil.Error):
            peak = max(peak, psutil.Process(process.pid).memory_info().rss)
        time.sleep(POLL_S)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with status {process.returncode}")
    return Taken(wall, usage.ru_utime + usage.ru_stime, peak)


def session(audio: Path, ffmpeg: str, folder: Path) -> tuple[list[Taken], list[Taken]]:
    """Tool, ffmpeg, ffmpeg, tool: two costs of each."""
    out = str(folder / "out.f32")
    tool = [sys.executable, "-c", OURS, str(audio), out]
    binary = [ffmpeg, "-v", "error", "-nostdin", "-y", "-i", str(audio)]
    binary += ["-map", "a:0", "-ac", "1", "-ar", "16000", "-f", "f32le", out]
    first = run(tool)
    theirs = [run(binary), run(binary)]
    return [first, run(tool)], theirs


def ratio(sessions: list[tuple[list[Taken], list[Taken]]], clock: str) -> dict[str, float] | None:
    """Tool / ffmpeg by one of the clocks; ``None`` with too few sessions for an interval."""
    rounds = dict(enumerate(sessions))
    ours, theirs = (
        {
            number: sum(getattr(each, clock) for each in pair[side])
            for number, pair in rounds.items()
        }
        for side in (0, 1)
    )
    found = intervals.of_ratio(ours, theirs)
    if found is None:
        return None
    return {
        "ratio": found.estimate,
        "low": found.low,
        "high": found.high,
        "level": found.level,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--files", type=Path, help="Keep the encoded hours here, and reuse them.")
    parser.add_argument("--output", "-o", type=Path)
    arguments = parser.parse_args()
    if not arguments.ffmpeg:
        print("no ffmpeg in PATH: name one with --ffmpeg")
        return 2
    version = subprocess.run(
        [arguments.ffmpeg, "-version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]
    print(version)
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = arguments.files or folder
        for suffix in CODECS:
            audio = files / f"reading-{arguments.minutes:g}.{suffix}"
            if not audio.exists():
                make(audio, arguments.minutes)
            taken = []
            for number in range(arguments.sessions):
                taken.append(session(audio, arguments.ffmpeg, folder))
                ours, theirs = (min(each.wall_s for each in side) for side in taken[-1])
                print(
                    f"  {suffix} session {number + 1}: tool {ours:.2f} s, ffmpeg {theirs:.2f} s",
                    flush=True,
                )
            row = {
                "format": suffix,
                "minutes": arguments.minutes,
                "wall": ratio(taken, "wall_s"),
                "cpu": ratio(taken, "cpu_s"),
                "peak_rss_bytes": [
                    max(each.peak_rss_bytes for pair in taken for each in pair[side])
                    for side in (0, 1)
                ],
                "tool": [ours for ours, _ in taken],
                "ffmpeg": [theirs for _, theirs in taken],
            }
            results.append(row)
            show(row)
            if arguments.output:  # after each, so that a later failure loses nothing
                document = {
                    "machine": msgspec.to_builtins(describe.describe()),
                    "ffmpeg": version,
                    "results": results,
                }
                arguments.output.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return 0


def show(row: dict[str, Any]) -> None:
    """Print the results of one format."""
    for clock in ("wall", "cpu"):
        found = row[clock]
        words = "three sessions and more give an interval"
        if found is not None:
            words = f"{found['ratio']:.3f}, {found['low']:.3f} to {found['high']:.3f}"
        print(f"{row['format']} {clock:4} tool / ffmpeg {words}")
    memory = " and ".join(f"{each / 1e6:.0f} MB" for each in row["peak_rss_bytes"])
    print(f"{row['format']} peak memory of tool and ffmpeg {memory}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
