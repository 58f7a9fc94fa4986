"""How long does creating a backend's environment take, once its packages have been fetched?

    python benchmarks/environments.py [--backend faster-whisper] [--times 5] [--pip-times 1]
                                      [-o FILE.json]

Creates the backend's locked environment in a temporary cache folder repeatedly, with the packages
in uv's own cache. For comparison: venv and pip with the same lock and pip's cache. Prints medians
in seconds, and the ratio of venv and pip to the tool. Target for faster-whisper: at most 1 s.
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

from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.environments import environments, store
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.machine import describe


def managed(recipe: Recipe, times: int) -> list[float]:
    """Seconds per creation through the tool, for the whole install call."""
    environments.install(recipe, notify=print)  # fills uv's cache
    seconds = []
    for _ in range(times):
        for environment in environments.of_recipe(recipe):
            store.remove(environment.path)
        began = time.perf_counter()
        environments.install(recipe, notify=lambda _text: None)
        seconds.append(time.perf_counter() - began)
    return seconds


def plain(requirements: Path, folder: Path, times: int) -> list[float]:
    """Seconds per creation with the standard library's venv and pip, after one that fills a cache.

    pip runs from outside, because some Pythons cannot install it in an environment.
    """
    seconds = []
    for number in range(times + 1):
        target = folder / f"plain-{number}"
        began = time.perf_counter()
        for command in (
            ["venv", "--without-pip", str(target)],
            [
                *["pip", "--python", str(target / "bin" / "python"), "install", "-qqq"],
                *["--no-deps", "--require-hashes", "--requirement", str(requirements)],
            ],
        ):
            subprocess.run([sys.executable, "-m", *command], check=True)
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def main() -> None:
    """Measure, print, and write the seconds with a description of the machine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--backend", default="faster-whisper")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--pip-times", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    (backend,) = registry.select([options.backend], registry.installed())
    if not isinstance(backend.recipe, Recipe):
        sys.exit(f"{backend.name} has no recipe for an environment")
    with tempfile.TemporaryDirectory(prefix="speedtest-environments-") as folder:
        os.environ["SPEEDTEST_CACHE_DIR"] = folder
        ours = managed(backend.recipe, options.times)
        (made,) = environments.of_recipe(backend.recipe)
        requirements = made.path / "requirements.txt"
        theirs = plain(requirements, Path(folder), options.pip_times) if options.pip_times else []
    median = statistics.median(ours)
    size = megabytes(made.size_bytes)
    print(f"{backend.recipe.name} {made.version}, {size}: {median:.2f} s")
    if theirs:
        other = statistics.median(theirs)
        print(f"venv and pip: {other:.2f} s, {other / median:.1f} times as long")
    if options.output:
        record = {
            "backend": backend.recipe.name,
            "version": made.version,
            "size_bytes": made.size_bytes,
            "tool_s": ours,
            "venv_and_pip_s": theirs,
            "machine": msgspec.to_builtins(describe.describe()),
        }
        options.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
