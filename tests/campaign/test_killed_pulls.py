"""Pulls of the same weights from a hub that fails, two at once and killed: whole in the end."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from conftest import Tool
from fakes.hub import Fault, Hub
from mac_whisper_speedtest import catalog
from weights.conftest import COMMIT, SMALL, WEIGHTS, cached, hub, small

__all__ = ["hub", "small"]  # fixtures

FILE = "model.safetensors"
SNAPSHOT = f"models--someone--small/snapshots/{COMMIT}"
CALLS = 3
FAULTS: tuple[Callable[[random.Random], Fault], ...] = (
    lambda draw: Fault(cut_at=draw.randrange(len(WEIGHTS))),
    lambda draw: Fault(alter=True, cut_at=draw.randrange(len(WEIGHTS))),
    lambda draw: Fault(alter=True),
    lambda draw: Fault(extra=draw.randbytes(draw.randint(1, 5000))),
    lambda _draw: Fault(ignore_range=True),
    lambda draw: Fault(status=draw.choice((500, 502, 503, 416))),
)
OTHER = (("models", "remove", SMALL, "--hub", "--yes"), ("models", "prune", "--yes"))


def test_what_killed_pulls_and_a_failing_hub_leave_is_completed_by_the_next(
    hub: Hub, small: catalog.Custom, tool: Tool, tmp_path: Path, seed: int
) -> None:
    draw = random.Random(f"pulls {seed}")
    hub.bytes_per_s = 4_000_000
    said: list[str] = []

    def keep_pulling(draw: random.Random) -> None:
        for _ in range(CALLS):
            words = draw.choice(OTHER) if draw.random() < 0.2 else ("models", "pull", SMALL)
            if draw.random() < 0.5:
                hub.fail(FILE, draw.choice(FAULTS)(draw))
            process = tool.start(*words)
            if draw.random() < 0.7:
                time.sleep(draw.uniform(0.3, 2.5))
                process.send_signal(draw.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
            _, stderr = process.communicate(timeout=120)
            if "KeyboardInterrupt" in stderr and "mac_whisper_speedtest" not in stderr:
                stderr = ""  # Python itself had not come to the tool yet
            said.append(f"{' '.join(words)} ended with {process.returncode}\n{stderr}")

    people = [
        threading.Thread(target=keep_pulling, args=(random.Random(draw.random()),))
        for _ in range(2)
    ]
    for person in people:
        person.start()
    for person in people:
        person.join()
    hub.faults.clear()
    story = "\n".join(said)
    assert "Traceback" not in story, story

    done = tool("models", "pull", SMALL)

    assert done.returncode == 0, done.stderr + story
    assert (tmp_path / "hub" / SNAPSHOT / FILE).read_bytes() == WEIGHTS, story
    # Two blobs and their two names: nothing half, nothing twice.
    assert len(cached(tmp_path)) == 4, story
    assert tool("models", "verify", SMALL).returncode == 0, story
    assert tool("models", "prune", "--yes").returncode == 0
