"""``speedtest doctor``: whether this machine is fit for measuring, on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mac_whisper_speedtest.errors import ExitCode

if TYPE_CHECKING:
    from mac_whisper_speedtest.doctor.lines import Checkup

_SCHEMA_VERSION = 1
_WIDE = 10_000  # columns: in a pipe every line stays one line
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "unknown": "dim"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--quick", is_flag=True, help="Do not ask backends which accelerators they see.")
@click.option("--online", is_flag=True, help="Also ask whether the hub can be reached.")
@click.pass_context
def command(context: click.Context, as_json: bool, quick: bool, online: bool) -> None:
    """Say whether this machine is fit for measuring, and what to type where it is not.

    Changes nothing, downloads nothing, and without --online sends nothing.

    Exit codes: 0 fit (there may be warnings); 9 not fit: a line says fail.
    """
    from mac_whisper_speedtest.doctor.checkup import examine
    from mac_whisper_speedtest.interrupts import as_keyboard_interrupt

    with as_keyboard_interrupt():
        checkup = examine(quick=quick, online=online)
    if as_json:
        import json

        click.echo(json.dumps(_document(checkup), indent=2, ensure_ascii=False))
    else:
        _print(checkup)
    context.exit(ExitCode.OK if checkup.fit else ExitCode.UNFIT)


def _document(checkup: Checkup) -> dict[str, Any]:
    return {
        "schema_version": _SCHEMA_VERSION,
        "fit": checkup.fit,
        "lines": [
            {"topic": line.topic, "state": line.state, "seen": line.seen, "next": line.next}
            for line in checkup.lines
        ],
    }


def _print(checkup: Checkup) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    piped = not console.is_terminal
    if piped:
        console = Console(highlight=False, width=_WIDE)
    table = Table(box=None, pad_edge=False)
    for heading in ("state", "topic", "what", "next"):
        table.add_column(heading, overflow="fold")
    for section in checkup.sections:
        table.add_row()
        table.add_row("", Text(section.title.upper(), style="bold"))
        for line in section.lines:
            style = _STYLES[line.state]
            table.add_row(
                Text(line.state, style=style), Text(line.topic), Text(line.seen), Text(line.next)
            )
    with console.capture() as page:
        console.print(table)
        console.print()
        console.print(Text(_verdict(checkup), style="bold"))
    for row in page.get().splitlines():
        click.echo(row.rstrip() if piped else row)


def _verdict(checkup: Checkup) -> str:
    from mac_whisper_speedtest.doctor.lines import State

    counts = [
        f"{number} {word}"
        for state, word in (
            (State.FAIL, "fail"),
            (State.WARN, "warn"),
            (State.UNKNOWN, "not known"),
        )
        if (number := checkup.count(state))
    ]
    fit = "fit for measuring" if checkup.fit else "not fit for measuring"
    return f"{fit}: {', '.join(counts)}" if counts else fit
