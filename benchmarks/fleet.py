"""How much of their time do the nodes of a fleet measure?

    python benchmarks/fleet.py [--nodes 2 4] [--jobs 40] [--times 3] [-o FILE.json]

Simulated machines (Linux; see tests/fakes/fleets.py), each with a network address and folders of
its own, are a fleet as a user makes it: `fleet init`, `serve`, `join` and `run`, over TLS. What
they measure is replaced: the measurement's process lives for 2 s and leaves a bundle
(tests/fakes/naps.py), so that what remains is what the fleet adds: delivery, freezing and thawing
the agent, the ledger, and the bundle's way into storage. Efficiency is jobs × 2 s ÷ (nodes × the
time from the first lease to the last result). The target is at least 0.95, on a machine with a
core for each node.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from mac_whisper_speedtest.fleet.ledger import Ledger
from mac_whisper_speedtest.machine import describe

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes import naps
from fakes.fleets import Fleet, Network

NAPPING = (sys.executable, "-m", "fakes.naps")
TARGET = 0.95


def measure(folder: Path, nodes: int, jobs: int) -> dict[str, Any]:
    """One campaign of a fleet of so many nodes."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with Network(folder) as network:
        fleet = Fleet(network, [f"n{number}" for number in range(nodes)])
        for name in fleet.nodes:
            fleet.join(name, program=NAPPING)
        fleet.wait_for_nodes(nodes)
        load = os.getloadavg()[0]
        # Its exit status says that it cannot collect these bundles, which is so.
        fleet.run("--on", "node=~n*", "--repeat", jobs).wait(60 + 3 * jobs * naps.NAP_S)
        account = fleet.account()
        ledger = Ledger(fleet.ledger)
        attempts = ledger.attempts()
        ledger.close()
    began = min(each.leased_at for each in attempts)
    ended = max(each.ended_at or each.leased_at for each in attempts)
    return {
        "nodes": nodes,
        "jobs": jobs,
        "attempts": len(attempts),
        "lost": account.lost,
        "wall_s": ended - began,
        "efficiency": jobs * naps.NAP_S / (nodes * (ended - began)),
        "load_average_before": load,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nodes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--output", "-o", type=Path)
    arguments = parser.parse_args()
    found = []
    for _ in range(arguments.times):
        for nodes in arguments.nodes:
            with tempfile.TemporaryDirectory() as folder:
                found.append(measure(Path(folder), nodes, arguments.jobs))
            print(
                "{nodes} nodes, {jobs} jobs of 2 s in {wall_s:.1f} s: efficiency "
                "{efficiency:.3f}, {lost} lost, {attempts} attempts, load before "
                "{load_average_before:.1f}".format(**found[-1]),
                flush=True,
            )
    if arguments.output:
        document = {"machine": msgspec.to_builtins(describe.describe()), "campaigns": found}
        arguments.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    best = {each["nodes"]: 0.0 for each in found}
    for each in found:
        best[each["nodes"]] = max(best[each["nodes"]], each["efficiency"])
    return 0 if min(best.values()) >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
