"""``speedtest check-models``: which weights are there, whole and loadable. Downloads nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.backend import Backend
    from mac_whisper_speedtest.weights.check_models import Report
    from mac_whisper_speedtest.weights.needs import Cost

_METHODS = ("auto", "cache-check", "checksum", "load")


@click.command("check-models")
@click.option("--model", "-m", "models", multiple=True, help="Only this model. May be repeated.")
@click.option(
    "--backend",
    "-b",
    "backends",
    multiple=True,
    help="Only this backend: NAME[@VERSION][:PRECISION], or a .toml file. May be repeated.",
)
@click.option(
    "--verify-method",
    "method",
    type=click.Choice(_METHODS),
    default="auto",
    show_default=True,
    help="How closely to look.",
)
@click.option("--load", is_flag=True, help="With auto: also load what is there.")
@click.option("--timeout", type=float, help="Seconds a load may take.  [default: by model size]")
@click.option("--fresh", is_flag=True, help="Find out again what is remembered of earlier checks.")
@click.option("--verbose", "-v", is_flag=True, help="Every row, every place, every stage's time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--download", is_flag=True, help="Then fetch and make what is missing. Asks first.")
@click.option("--yes", "-y", is_flag=True, help="With --download: do not ask.")
@click.pass_context
def command(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    models: tuple[str, ...],
    backends: tuple[str, ...],
    method: str,
    load: bool,
    timeout: float | None,
    fresh: bool,
    verbose: bool,
    as_json: bool,
    download: bool,
    yes: bool,
) -> None:
    """Say which weights are there, whole and loadable. Downloads nothing unless told to.

    \b
    cache-check  names and sizes: no process, no network, no backend imported
    checksum     also the SHA-256 of every file, remembered while the file stays the same
    load         also has the backend load them, in a worker that reaches no network
    auto         cache-check, then checksum; load where nothing else can tell, or with --load

    \b
    speedtest check-models
    speedtest check-models --model tiny.en --verify-method load
    speedtest check-models --model small --download

    Exit codes: 0 all that can be here is complete; 6 something is missing; 7 something is corrupt;
    8 something is complete and could not be loaded.
    """
    from mac_whisper_speedtest.cli import models_table, options, scrubbed
    from mac_whisper_speedtest.interrupts import as_keyboard_interrupt
    from mac_whisper_speedtest.weights import needs
    from mac_whisper_speedtest.weights.check_models import CheckRequest, Method, check_models

    if timeout is not None:
        options.above_zero(timeout, "--timeout")
    if yes and not download:
        raise UsageError("--yes is for --download")
    request = CheckRequest(
        backends=tuple(_selected(backends)),
        models=_known(models),
        method=Method(method),
        load=load,
        timeout_s=timeout,
        fresh=fresh,
    )
    watcher = models_table.watcher(sys.stderr)
    with as_keyboard_interrupt():
        report = check_models(request, watcher)
        cost = needs.cost(row.check for row in report.rows)
        if download and _downloaded(report, cost, yes=yes):
            report = check_models(request, watcher)
            cost = needs.cost(row.check for row in report.rows)
    if as_json:
        scrubbed.echo_json(models_table.as_json(request, report, cost))
    else:
        models_table.show(report, cost, verbose=verbose, every_row=verbose or bool(models))
    ctx.exit(exit_code(report))


def exit_code(report: Report) -> ExitCode:
    """The worst thing that is known of any row, damage first."""
    from mac_whisper_speedtest.weights.inspect import State

    states = {row.check.state for row in report.rows}
    outcomes = {str(row.load.outcome) for row in report.rows if row.load is not None}
    if State.CORRUPT in states:
        return ExitCode.WEIGHTS_CORRUPT
    if outcomes - {"loaded", "not checked"}:
        return ExitCode.NOT_LOADABLE
    if states & {State.ABSENT, State.PARTIAL}:
        return ExitCode.WEIGHTS_MISSING
    return ExitCode.OK


def _selected(specs: tuple[str, ...]) -> list[Backend]:
    from mac_whisper_speedtest.backends import registry
    from mac_whisper_speedtest.backends.frameworks import FRAMEWORKS

    return registry.select(specs, {**FRAMEWORKS, **registry.installed()})


def _known(models: tuple[str, ...]) -> tuple[str, ...]:
    from mac_whisper_speedtest import catalog

    return tuple(catalog.model(name).name for name in models)


def _downloaded(report: Report, cost: Cost, *, yes: bool) -> bool:
    """Fetch and make what is missing, if the user agrees; whether anything was done.

    Raises:
        UsageError: nobody can be asked, and nobody said yes beforehand.
    """
    from mac_whisper_speedtest.cli import models_table
    from mac_whisper_speedtest.weights.check_models import make_complete

    makeable = [row for row in report.rows if row.check.can_be_made]
    if not cost.needs and not makeable:
        click.echo("nothing can be fetched or made", err=True)
        return False
    for line in models_table.plan(cost, makeable):
        click.echo(line, err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is there to be asked", hint="add --yes to fetch all of it")
        if not click.confirm("Go on?", err=True):
            return False
    make_complete(report, cost, announce=lambda text: click.echo(text, err=True))
    return True
