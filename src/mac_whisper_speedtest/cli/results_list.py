"""``speedtest results list``: which runs there are."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.cli import scrubbed
from mac_whisper_speedtest.cli.results import warn

if TYPE_CHECKING:
    from mac_whisper_speedtest.store.rows import RunRow

_SCHEMA_VERSION = 1
_SOME = 3
"""Names in one field of the table; ``--json`` has all."""


@click.command("list")
@click.option("--model", "-m", default="", help="Only runs with a cell of this model.")
@click.option("--backend", "-b", default="", help="Only runs with a cell of this backend.")
@click.option("--tag", default="", help="Only runs with this tag.")
@click.option("--state", default="", help="Only complete, interrupted, recovered, ... runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(model: str, backend: str, tag: str, state: str, as_json: bool) -> None:
    """List runs in order of their numbers, the newest last.

    What changed since the last call is read first; a run that cannot be read is listed as
    unreadable, with the reason.

    \b
    speedtest results list --backend whisper.cpp --tag base
    speedtest results list --json

    Exit codes: 0 listed; 2 the request was wrong; 5 the runs cannot be read.
    """
    from mac_whisper_speedtest.errors import UsageError
    from mac_whisper_speedtest.store.index import open_index
    from mac_whisper_speedtest.store.rows import STATES

    if state and state not in STATES:
        raise UsageError(f"no run has the state {state!r}", hint=f"say one of {', '.join(STATES)}")
    with open_index(warn) as index:
        found = index.runs(model=model, backend=backend, tag=tag, state=state)
    if as_json:
        runs = [asdict(row) for row in found]
        scrubbed.echo_json({"schema_version": _SCHEMA_VERSION, "runs": runs})
        return
    if not found:
        narrowed = model or backend or tag or state
        click.echo("no run is like that" if narrowed else "there is no run yet")
        return
    rows = [_HEADINGS, *(_texts(row) for row in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        texts = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        scrubbed.echo("  ".join(texts).rstrip())


_HEADINGS = ("run", "started", "state", "backends", "models", "speech", "cells", "tags")


def _texts(row: RunRow) -> tuple[str, ...]:
    from mac_whisper_speedtest.store.rows import RUNNING, UNREADABLE

    sealed = row.sealed or row.state in {RUNNING, UNREADABLE}
    return (
        str(row.number),
        row.started_at.replace("T", " ")[:16],
        row.state if sealed else f"{row.state}, not sealed",
        _some(row.backends),
        _some(row.models),
        _some(row.speech),
        f"{row.cells_ok}/{row.cells}",
        ", ".join(row.tags) or row.message,
    )


def _some(names: tuple[str, ...]) -> str:
    more = f" +{len(names) - _SOME}" if len(names) > _SOME else ""
    return ", ".join(names[:_SOME]) + more
