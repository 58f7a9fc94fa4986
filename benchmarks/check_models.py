"""How long does it take to check the weights of every backend and model?

    python benchmarks/check_models.py [--times 15] [-o FILE.json]

A Hugging Face cache is filled with unrelated repositories (holes of the right shape: a commit, a
branch, links and blobs) and with half of the catalog's own; then the cache-check of every backend
and model is timed, for several numbers of unrelated repositories:

- warm: the check alone, repeated in one process;
- cold: the same after the system's file cache was dropped, if this user may do that, so that every
  folder and link is read from the disk again;
- command: `speedtest check-models --verify-method cache-check` from start to end, with the
  interpreter and all imports;
- command, cold: the same after the file cache was dropped, Python included.

Target: a median below 1 s with 50 unrelated repositories.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.machine import describe
from mac_whisper_speedtest.weights.check_models import CheckMethod, CheckRequest, check_models
from mac_whisper_speedtest.weights.inspect import WeightsState

UNRELATED = (0, 10, 50, 200, 1000)


def hole(path: Path, size: int) -> None:
    """A sparse file of ``size`` bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.truncate(size)


def repository(cache: Path, name: str, commit: str, files: dict[str, int]) -> None:
    """A complete repository in the layout of the Hugging Face cache."""
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit, encoding="ascii")
    snapshot = folder / "snapshots" / commit
    for number, (file, size) in enumerate(files.items()):
        blob = f"{number:02x}" * 32
        hole(folder / "blobs" / blob, size)
        link = snapshot / file
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(folder / "blobs" / blob, link.parent))


def fill(cache: Path, unrelated: int) -> None:
    """Half of the catalog's pinned files on the hub, and ``unrelated`` other repositories."""
    pinned = [row for row in catalog.hosted_weights() if row.repository and row.complete]
    for row in pinned[::2]:
        assert row.revision is not None
        files = {file.name: file.size or 0 for file in row.files}
        repository(cache, row.repository, row.revision, files)
    shape = {f"model-{part:05}-of-00008.safetensors": 5_000_000_000 for part in range(8)}
    shape |= dict.fromkeys(("config.json", "tokenizer.json", "README.md", "vocab.json"), 2000)
    for number in range(unrelated):
        repository(cache, f"somebody/model-{number}", f"{number:040x}", shape)


def drop_caches() -> bool:
    """Drop the system's file cache; return whether that was allowed."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
    except OSError:
        return False
    return True


def seconds(times: int, *, cold: bool) -> tuple[list[float], int, int]:
    """Seconds of ``times`` checks in this process, the number of rows, and of complete ones."""
    backends = tuple(registry.installed().values())
    request = CheckRequest(backends, method=CheckMethod.CACHE_CHECK)
    rows = check_models(request).rows  # imports and parsing happen once and are not counted
    taken = []
    for _ in range(times):
        if cold:
            drop_caches()
        began = time.perf_counter()
        rows = check_models(request).rows
        taken.append(time.perf_counter() - began)
    return taken, len(rows), sum(row.check.state is WeightsState.COMPLETE for row in rows)


def command() -> float:
    """One call of the command from start to end, in seconds."""
    options = ("check-models", "--verify-method", "cache-check", "--json")
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mac_whisper_speedtest", *options],
        stdout=subprocess.DEVNULL,
        check=False,
    )
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--output", "-o", type=Path)
    arguments = parser.parse_args()
    results = []
    may_drop = drop_caches()
    print("unrelated  rows  complete  warm      cold      command   command, cold")
    for unrelated in UNRELATED:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["HF_HUB_CACHE"] = folder
            fill(Path(folder), unrelated)
            warm, rows, complete = seconds(arguments.times, cold=False)
            taken = {"warm_s": warm}
            if may_drop:
                taken["cold_s"] = seconds(arguments.times, cold=True)[0]
            command()
            taken["command_s"] = [command() for _ in range(arguments.times)]
            if may_drop:
                taken["command_cold_s"] = [
                    command() for _ in range(arguments.times) if drop_caches()
                ]
        results.append(
            {"unrelated_repositories": unrelated, "rows": rows, "complete": complete, **taken}
        )
        medians = [
            f"{statistics.median(taken[name]):<8.3f}" if name in taken else "not measured"
            for name in ("warm_s", "cold_s", "command_s", "command_cold_s")
        ]
        print(f"{unrelated:<9}  {rows:<4}  {complete:<8}  {'  '.join(medians)}", flush=True)
    if not may_drop:
        print("cold not measured: this user may not drop the system's file cache")
    if arguments.output:
        document = {"machine": msgspec.to_builtins(describe.describe()), "results": results}
        arguments.output.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
