"""``speedtest check-models``: which weights are present, complete and loadable."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.cli import completion, options, output, weights_table
from mac_whisper_speedtest.errors import ExitCode, UsageError
from mac_whisper_speedtest.option import Seconds
from mac_whisper_speedtest.weights.inspect import WeightsState

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.backend import Backend
    from mac_whisper_speedtest.weights.check import Cost
    from mac_whisper_speedtest.weights.check_models import (
        Report,
    )


_METHODS = ("auto", "cache-check", "checksum", "load")


@click.command("check-models")
@click.option(
    "--model",
    "-m",
    "models",
    multiple=True,
    help="Only this model. May be repeated.",
    shell_complete=completion.models,
)
@click.option(
    "--backend",
    "-b",
    "backends",
    multiple=True,
    help="Only this backend: NAME[@VERSION][:PRECISION], or a .toml file. May be repeated.",
    shell_complete=completion.backends,
)
@click.option(
    "--verify-method",
    "method",
    type=click.Choice(_METHODS),
    default="auto",
    show_default=True,
    help="How thorough the check is.",
)
@click.option("--load", is_flag=True, help="With auto: also load weights that are here.")
@click.option(
    "--timeout",
    type=options.Value(Seconds()),
    show_default="by model size",
    help="Time limit of a load.",
)
@click.option("--all", "everything", is_flag=True, help="Also for backends that are not installed.")
@click.option("--fresh", is_flag=True, help="Repeat checks whose results are remembered.")
@click.option("--verbose", "-v", is_flag=True, help="Show every row, location and stage's time.")
@options.json_flag
@click.option("--download", is_flag=True, help="Then fetch or convert missing weights; asks first.")
@click.option("--yes", "-y", is_flag=True, help="With --download: do not ask.")
@click.pass_context
def command(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    models: tuple[str, ...],
    backends: tuple[str, ...],
    method: str,
    load: bool,
    timeout: float | None,
    everything: bool,
    fresh: bool,
    verbose: bool,
    as_json: bool,
    download: bool,
    yes: bool,
) -> None:
    """Check which weights are present, complete and loadable. Downloads only with --download.

    Checks all installed backends, or those named with --backend.

    \b
    cache-check  names and sizes: no process, no network, no backend imported
    checksum     also the SHA-256 of every file, remembered while the file stays the same
    load         also loads them in the backend, in a worker without a network
    auto         cache-check, then checksum; load only if nothing else can tell, or with --load

    Networks kept by macOS are queried through their bridge, except with cache-check.

    \b
    speedtest check-models
    speedtest check-models --all
    speedtest check-models --model tiny.en --verify-method load
    speedtest check-models --model small --download

    Exit codes: 0 all available weights are complete; 6 something is missing; 7 something is
    corrupt; 8 something is complete and could not be loaded.
    """
    from mac_whisper_speedtest.weights import check as needs
    from mac_whisper_speedtest.weights.check_models import CheckMethod, CheckRequest, check_models

    if yes and not download:
        raise UsageError("--yes is for --download")
    request = CheckRequest(
        backends=tuple(
            each for each in selected(backends) if everything or backends or _is_here(each)
        ),
        models=_known(models),
        method=CheckMethod(method),
        load=load,
        timeout_s=timeout,
        fresh=fresh,
    )
    observer = weights_table.progress(sys.stderr)
    report = check_models(request, observer)
    cost = needs.cost(row.check for row in report.rows)
    if download and _downloaded(report, cost, yes=yes):
        report = check_models(request, observer)
        cost = needs.cost(row.check for row in report.rows)
    if as_json:
        output.echo_json(weights_table.check_as_json(request, report, cost))
    else:
        weights_table.show_check(report, cost, verbose=verbose, every_row=verbose or bool(models))
    ctx.exit(exit_code(report))


def _is_here(backend: Backend) -> bool:
    """Whether a run that names no backends could measure it."""
    from mac_whisper_speedtest.worker.launch import is_installed

    return backend.made_for_here() and is_installed(backend)


def exit_code(report: Report) -> ExitCode:
    """The worst thing that is known of any row, damage first."""
    states = {row.check.state for row in report.rows}
    outcomes = {str(row.load.outcome) for row in report.rows if row.load is not None}
    if WeightsState.CORRUPT in states:
        return ExitCode.WEIGHTS_CORRUPT
    if outcomes - {"loaded", "not checked"}:
        return ExitCode.NOT_LOADABLE
    if states & {WeightsState.ABSENT, WeightsState.PARTIAL}:
        return ExitCode.WEIGHTS_MISSING
    return ExitCode.OK


def selected(specs: tuple[str, ...]) -> list[Backend]:
    """The backends of those names, all for none. Raises UsageError."""
    from mac_whisper_speedtest.backends import registry

    return registry.select(specs, registry.installed())


def _known(models: tuple[str, ...]) -> tuple[str, ...]:
    from mac_whisper_speedtest import catalog

    return tuple(catalog.model(name).name for name in models)


def _downloaded(report: Report, cost: Cost, *, yes: bool) -> bool:
    """Fetch or convert missing weights, if the user agrees; whether anything was done.

    Raises:
        UsageError: --yes was not given and stdin is not a terminal.
    """
    from mac_whisper_speedtest.weights.check_models import make_complete

    makeable = [row for row in report.rows if row.check.can_be_converted]
    if not cost.needs and not makeable:
        output.notify("nothing can be fetched or made")
        return False
    for line in weights_table.plan(cost, makeable):
        output.notify(line)
    if not options.confirmed(yes=yes, action="download"):
        return False
    make_complete(report, cost, notify=output.notify)
    return True
