"""An agent without a scheduler: it passes deliveries from a folder to its node, and keeps answers.

    python fleet_agent.py FOLDER

The folder has ``deliveries/NAME``; the agent writes ``answers/NAME``, its labels and process id,
and a time into ``ticks`` every 20 ms, by which one sees when it stood still. It stays as long as
the node does, unless the folder has ``ends``: a status and a line to end with, once.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path


def tick(folder: Path) -> None:
    with (folder / "ticks").open("a", buffering=1) as ticks:
        while True:
            ticks.write(f"{time.monotonic():.3f}\n")
            time.sleep(0.02)


def main(folder: Path) -> int:
    if (folder / "ends").exists():
        status, line = (folder / "ends").read_text().split(maxsplit=1)
        (folder / "ends").unlink()
        sys.stderr.write(f"some noise\n{line}\n")
        return int(status)
    with (folder / "lives").open("a") as lives:
        lives.write(f"{os.getpid()}\n")
    (folder / "labels").write_text(sys.stdin.readline())
    threading.Thread(target=tick, args=(folder,), daemon=True).start()
    for name in ("answers", "given"):
        (folder / name).mkdir(exist_ok=True)
    threading.Thread(target=pass_on, args=(folder,), daemon=True).start()
    for line in sys.stdin:
        (folder / "answer").write_text(line)
        (folder / "answer").rename(folder / "answers" / (folder / "asked").read_text())
    return 0


def pass_on(folder: Path) -> None:
    while True:
        for path in sorted((folder / "deliveries").iterdir()):
            given = folder / "given" / path.name  # once: a coordinator gives another attempt
            if path.name.startswith(".") or given.exists():
                continue
            given.touch()
            (folder / "asked").write_text(path.name)
            sys.stdout.write(path.read_text() + "\n")
            sys.stdout.flush()
            while not (folder / "answers" / path.name).exists():
                time.sleep(0.01)
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
