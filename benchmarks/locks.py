"""On which systems and with which Pythons can each lock be installed?

    python benchmarks/locks.py [--requirements requirements.lock] [LOCK...]

Asks uv about the wheels of every shipped lock, or of the named ones, and of a requirements file,
for every platform and Python; nothing is installed. This needs a network and takes a quarter of an
hour. Writes the answers beside the recipes and docs/reference/locks.md. Exits with 1 if a recipe
claims a target on which its lock cannot be installed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mac_whisper_speedtest import reference
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.environments import lock_targets

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def main() -> int:
    """Ask, write and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requirements", type=Path, help="a file that works where the recipes do")
    parser.add_argument("locks", nargs="*", help="such as whisperx@3.8.6; others are unchanged")
    arguments = parser.parse_args()
    names, given = arguments.locks, arguments.requirements
    shipped = list(lock_targets.shipped_locks())
    if unknown := set(names) - {lock for _, lock, _ in shipped}:
        parser.error(f"no such lock: {', '.join(sorted(unknown))}")
    asked = [each for each in shipped if not names or each[1] in names]
    if given is not None:
        asked.append((Recipe(given.name, "", ""), given.name, given.read_text(encoding="utf-8")))
    found = lock_targets.read_record() if names else {}
    problems: list[str] = []
    for recipe, lock, text in asked:
        print(lock, flush=True)
        found[lock] = lock_targets.ask(recipe, text)
        problems += lock_targets.excessive(recipe, lock, found[lock])
    for recipe, part, text in () if names else lock_targets.shipped_parts():
        print(part, flush=True)
        problems += lock_targets.excessive(recipe, part, lock_targets.ask(recipe, text))
    lock_targets.write_record(found)
    reference.write(REFERENCE)
    print("\n".join(problems) or "every lock can be installed where its recipe claims")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
