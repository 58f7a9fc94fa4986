"""Is `install.py` faster with or without `--no-compile`, including the first two commands?

    python benchmarks/install.py [--times 2] [-o FILE.json]

For each variant, this checkout is installed into a new environment in a temporary folder, as
`install.py` does, after one installation that fills pip's cache. Then the imports of a run are
executed twice: by the command (`speedtest check-models`) and by its two backends' workers. The rest
of a run takes equally long either way. Times are CPU seconds, because others share the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mac_whisper_speedtest.errors import ExitCode

HERE = Path(__file__).parents[1]
WAYS = {"--no-compile": ["--no-compile"], "compiled": []}
LEFT_OUT = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
WORKERS = ("faster_whisper", "pywhispercpp.model")


def seconds(words: Sequence[object], folder: Path) -> float:
    """CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: each for name, each in os.environ.items() if name not in LEFT_OUT}
    environment |= {"SPEEDTEST_CACHE_DIR": str(folder), "SPEEDTEST_DATA_DIR": str(folder)}
    done = subprocess.run(
        list(map(str, words)), env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode not in {0, ExitCode.WEIGHTS_MISSING}:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(options: list[str]) -> dict[str, float]:
    """Seconds of the installation, and of the first and the second import of everything."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        pip: list[object] = [python, "-m", "pip", "install", "--quiet", *options]
        found = {"install": seconds([*pip, f"{HERE}[demo]"], folder)}
        for name in ("first", "second"):
            found[name] = seconds([python.with_name("speedtest"), "check-models"], folder)
            found[name] += sum(
                seconds([python, "-c", f"import {each}"], folder) for each in WORKERS
            )
    return found | {"together": sum(found.values())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--output", "-o", type=Path)
    arguments = parser.parse_args()
    measure(WAYS["--no-compile"])
    results: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for number in range(arguments.times):
        for name in list(WAYS)[:: -1 if number % 2 else 1]:
            taken = measure(WAYS[name])
            results[name].append(taken)
            words = ", ".join(f"{what} {each:.1f} s" for what, each in taken.items())
            print(f"{name:<14}{words}", flush=True)
    if arguments.output:
        from mac_whisper_speedtest.machine import describe

        machine = msgspec.to_builtins(describe.describe())
        document = {"machine": machine, "load_average": os.getloadavg(), "seconds": results}
        arguments.output.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
