"""What a fake fleet's workers call instead of a node's agent; importable by reference.

A job's campaign says what happens: ``nap 2``, ``nap 0.1 crashed``, ``raise``, ``garbage``.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from mac_whisper_speedtest.fleet import job
from mac_whisper_speedtest.fleet.job import Ending, NodeAnswer


def execute(text: str) -> str:
    """Nap as the job says, leave a file as its bundle, and answer."""
    delivery = job.decode_delivery(text)
    what, *more = (delivery.job.campaign or "nap 0").split()
    if what == "raise":
        raise ZeroDivisionError("in the agent")
    if what == "garbage":
        return "{}"
    time.sleep(float(more[0]))
    ending = Ending(" ".join(more[1:]) or "done")
    answer = NodeAnswer(id=delivery.job.id, attempt=delivery.attempt, ending=ending, reason="fake")
    if ending is Ending.DONE:
        sha256 = store(delivery.job.to, delivery.job.id, delivery.attempt)
        answer = NodeAnswer(
            id=delivery.job.id, attempt=delivery.attempt, ending=ending, bundle_sha256=sha256
        )
    return job.encode(answer)


def store(folder: str, identity: str, attempt: int, content: bytes = b"") -> str:
    """A file in the place of a bundle; its SHA-256."""
    content = content or f"{identity} {attempt} {time.time_ns()}".encode()
    sha256 = hashlib.sha256(content).hexdigest()
    Path(folder, f"{identity}.{attempt}.{sha256}.zip").write_bytes(content)
    return sha256
