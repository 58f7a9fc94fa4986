"""``speedtest models verify``: every byte of every copy that is here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mac_whisper_speedtest.cli import scrubbed
from mac_whisper_speedtest.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from mac_whisper_speedtest.weights.inventory import Holding
    from mac_whisper_speedtest.weights.verify import Verdict

_SCHEMA_VERSION = 1


@click.command("verify")
@click.argument("names", nargs=-1)
@click.option(
    "--all", "everything", is_flag=True, help="Everything that is here, as without NAMES."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Read every byte of the copies of NAMES, and say which are what they should be.

    All forms in all places are read, also those that other libraries keep; nothing that was found
    out before is believed.

    \b
    ok            every hash that is known is right
    corrupt       a file is not what was published or converted
    partial       a file is missing
    not known     nobody knows a hash of it
    not readable  a file cannot be read

    Exit codes: 0 nothing is wrong; 6 a model is nowhere, or a copy is not whole; 7 something is
    corrupt.
    """
    from mac_whisper_speedtest.cli import models_table
    from mac_whisper_speedtest.interrupts import as_keyboard_interrupt
    from mac_whisper_speedtest.weights import verify

    if everything and names:
        raise UsageError("--all and a name exclude each other", hint="leave out one of them")
    holdings, nowhere = _here(names)
    with as_keyboard_interrupt():
        verdicts = verify.verify(holdings, progress=models_table.watcher(sys.stderr).reading)
    if as_json:
        scrubbed.echo_json(_document(verdicts, nowhere))
    else:
        for verdict in verdicts:
            _print(verdict)
        for name in nowhere:
            click.echo(f"{name} is nowhere on this machine")
        click.echo(_summary(verdicts))
    ctx.exit(_exit_code(verdicts, nowhere))


def _here(names: tuple[str, ...]) -> tuple[list[Holding], list[str]]:
    """What is here of ``names``, or everything, and the names that are nowhere."""
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.weights import inventory

    if not names:
        return inventory.everything(), []
    found = {
        name: inventory.of_custom(catalog.parse_custom(name))
        if catalog.is_custom(name)
        else inventory.of_network(catalog.model(name).name)
        for name in names
    }
    here = [each for copies in found.values() for each in copies]
    return here, [name for name, copies in found.items() if not copies]


def _exit_code(verdicts: list[Verdict], nowhere: list[str]) -> ExitCode:
    from mac_whisper_speedtest.weights.verify import Outcome

    outcomes = {verdict.outcome for verdict in verdicts}
    if Outcome.CORRUPT in outcomes:
        return ExitCode.WEIGHTS_CORRUPT
    if nowhere or outcomes & {Outcome.PARTIAL, Outcome.UNREADABLE}:
        return ExitCode.WEIGHTS_MISSING
    return ExitCode.OK


def _print(verdict: Verdict) -> None:
    from mac_whisper_speedtest.cli.models_table import size

    held = verdict.holding
    form = " ".join(filter(None, (held.name, held.form, held.precision)))
    scrubbed.echo(
        f"{verdict.outcome:13} {form}: {held.copy.place.where}, {size(held.copy.size_bytes)}"
    )
    for problem in verdict.problems:
        scrubbed.echo(f"{'':13}   {problem}")
    if verdict.unknown:
        scrubbed.echo(f"{'':13}   no hash is known of {', '.join(verdict.unknown)}")


def _summary(verdicts: list[Verdict]) -> str:
    from mac_whisper_speedtest.cli.models_table import size

    counts: dict[str, int] = {}
    for verdict in verdicts:
        counts[verdict.outcome] = counts.get(verdict.outcome, 0) + 1
    read = size(sum(verdict.holding.copy.size_bytes for verdict in verdicts))
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    return f"{told}; {read} in all" if told else "there is nothing to verify"


def _document(verdicts: list[Verdict], nowhere: list[str]) -> dict[str, Any]:
    return {
        "schema_version": _SCHEMA_VERSION,
        "copies": [
            {
                "model": verdict.holding.name,
                "form": verdict.holding.form,
                "precision": verdict.holding.precision,
                "where": verdict.holding.copy.place.where,
                "path": str(verdict.holding.copy.path),
                "size_bytes": verdict.holding.copy.size_bytes,
                "outcome": str(verdict.outcome),
                "problems": list(verdict.problems),
                "files_without_hash": list(verdict.unknown),
            }
            for verdict in verdicts
        ],
        "nowhere": nowhere,
    }
