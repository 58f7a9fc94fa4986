"""A stand-in for a measurement: it takes ``NAP_S`` seconds, and leaves a bundle of nothing.

`nap` takes the place of the agent's task where a simulation asks what the delivery of jobs costs.
As a program, this module is ``speedtest`` for a node whose measurements are replaced: each lives
for that time, imports included.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

from mac_whisper_speedtest import cli
from mac_whisper_speedtest.fleet import agent, children, job, measure, node
from mac_whisper_speedtest.fleet.storage import Outbox

NAP_S = float(os.environ.get("NAP_S", "2"))


def nap(text: str) -> str:
    """Sleep, and store a bundle under its name: what a whole node does for one delivery."""
    time.sleep(NAP_S)
    delivery = job.decode_delivery(text)
    answer = _done(delivery, text.encode())
    path = Path(delivery.job.to) / f"{answer.id}.{answer.attempt}.{answer.bundle_sha256}.zip"
    path.write_bytes(text.encode())
    return agent.announced(job.encode(answer))


def measure_nothing(delivery: job.Delivery, name: str, outbox: Outbox) -> job.NodeAnswer:
    """Sleep until this process is ``NAP_S`` old, and put a bundle into the outbox."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    born_s = ticks / os.sysconf("SC_CLK_TCK")  # since the start of the system
    time.sleep(max(0.0, born_s + NAP_S - time.clock_gettime(time.CLOCK_BOOTTIME)))
    content = job.encode(delivery).encode()
    outbox.begin(delivery).write_bytes(content)
    return _done(delivery, content)


def _done(delivery: job.Delivery, content: bytes) -> job.NodeAnswer:
    return job.NodeAnswer(
        id=delivery.job.id,
        attempt=delivery.attempt,
        ending=job.Ending.DONE,
        bundle_sha256=hashlib.sha256(content).hexdigest(),
    )


def command(*words: str) -> list[str]:
    """What a napping node starts in place of `children.command`."""
    return [sys.executable, "-m", "fakes.naps", "child", *words]


if __name__ == "__main__":
    if sys.argv[1] == "child":
        measure.measure = measure_nothing  # type: ignore[assignment]
        children.run(sys.argv[2:])
    node.command = command  # type: ignore[attr-defined]
    sys.exit(cli.main())
