"""Where the shipped locks can be installed."""

from __future__ import annotations

from collections.abc import Iterator

from mac_whisper_speedtest.environments import lock_targets
from mac_whisper_speedtest.reference.markdown import page, table


def locks() -> str:
    """Where the shipped locks can be installed."""
    record = dict(sorted(lock_targets.read_record().items()))
    systems: dict[str, list[str]] = {}
    for target in map(str, lock_targets.TARGETS):
        systems.setdefault(target.partition(" ")[0], []).append(target)
    return page(
        "Reference: where locks can be installed",
        "The Pythons from 3.11 to 3.14 for which the package index has a wheel of every package of "
        "a lock, by oldest macOS or glibc. `python benchmarks/locks.py` asks the index, every week "
        "in a workflow, and compares the answer with the recipes. A distribution that is built "
        "from source is left out of the question.",
        *(
            part
            for system, targets in systems.items()
            for part in (f"## {system}", _served(record, targets))
        ),
        "## Packages without a wheel",
        table(("lock", "package", "where"), _without_wheels(record)),
    )


def _served(record: lock_targets.Record, targets: list[str]) -> str:
    heads = [each.partition(" ")[2] for each in targets]
    return table(
        ("lock", *heads),
        (
            [f"`{lock}`", *(_pythons(found.get(each, {})) for each in targets)]
            for lock, found in record.items()
        ),
    )


def _pythons(lacking: lock_targets.Lacking) -> str:
    """The Pythons for which nothing is lacking."""
    left = [each for each in lock_targets.PYTHONS if each not in lacking]
    return ("all" if not lacking else ", ".join(left)) or "none"


def _without_wheels(record: lock_targets.Record) -> Iterator[list[str]]:
    """The lock, the package that has no wheel, and the targets where it has none."""
    for lock, found in record.items():
        where: dict[str, list[str]] = {}
        for target, lacking in found.items():
            for package in dict.fromkeys(lacking.values()):
                pythons = [each for each, other in lacking.items() if other == package]
                every = len(pythons) == len(lock_targets.PYTHONS)
                where.setdefault(package, []).append(
                    target if every else f"{target} ({', '.join(pythons)})"
                )
        for package, targets in sorted(where.items()):
            yield [f"`{lock}`", f"`{package}`", "; ".join(targets)]
