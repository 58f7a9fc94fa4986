"""What becomes of a fleet's jobs when something goes wrong?

    python benchmarks/fleet_faults.py [--only WORDS] [--python PYTHON] [-o FILE.json]

Goes through the faults of tests/fakes/fleet_faults.py. For each of them, two simulated machines
(Linux) share four jobs, real measurements of a backend that does nothing; the fault happens while
the first one measures. Counted are jobs that were not done, bundles of jobs that had one already,
and files in storage that the client's ledger does not account for. Targets: 0, any, 0, and never
two measurements at a time on a machine. With --python, node ``b`` runs on that interpreter.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from mac_whisper_speedtest.machine import describe

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.fleet_faults import FAULTS, Fault, play


def measured(fault: Fault, python: str) -> dict[str, Any]:
    """What became of the jobs, or why they were not done."""
    folder = Path(tempfile.mkdtemp(prefix="fleet-faults-"))
    try:
        account, took_s = play(fault, folder, python=python)
    except (AssertionError, TimeoutError) as error:
        return {"fault": fault.name, "failed": str(error), "kept": str(folder)}
    shutil.rmtree(folder)
    return {"fault": fault.name, "took_s": round(took_s, 1), **asdict(account)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="faults whose names contain this")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--output", "-o", type=Path)
    arguments = parser.parse_args()
    print(f"{'fault':36}{'s':>6}{'lost':>6}{'twice':>6}{'not accounted':>15}  attempts")
    found = []
    for fault in FAULTS:
        if arguments.only not in fault.name:
            continue
        found.append(each := measured(fault, arguments.python))
        if "failed" in each:
            print(f"{fault.name:36}failed: {each['failed'][-300:]} ({each['kept']})", flush=True)
            continue
        attempts = ", ".join(f"{number} {state}" for state, number in each["attempts"].items())
        print(
            f"{fault.name:36}{each['took_s']:6.0f}{each['lost']:6}{each['duplicates']:6}"
            f"{len(each['unaccounted']):15}  {attempts}",
            flush=True,
        )
    if arguments.output:
        document = {"machine": msgspec.to_builtins(describe.describe()), "faults": found}
        arguments.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    whole = all(each.get("lost") == 0 and each.get("unaccounted") == [] for each in found)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
