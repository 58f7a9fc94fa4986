"""``speedtest history``: one backend over time, and when it changed."""

from __future__ import annotations

import click


@click.command("history", context_settings={"show_default": True})
@click.argument("backend")
@click.option("--model", "-m", default="", help="Only this model.", show_default=False)
@click.option("--clip", default="", help="Only speech of this name.", show_default=False)
@click.option("--contract", default="", help="Only this contract.", show_default=False)
@click.option("--limit", type=int, default=200, help="Runs of a series to look at: the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(  # noqa: PLR0917 - one parameter per option
    backend: str, model: str, clip: str, contract: str, limit: int, as_json: bool
) -> None:
    """Show BACKEND in every run, in whatever version, and when it became faster or slower.

    Runs are ordered by their numbers. Only runs that compare share a table: those of the same
    contract, speech, weights, kind of machine and settings. A change is a lasting one: a single
    slow run is none.

    \b
    speedtest history faster-whisper
    speedtest history whisper.cpp --model small --json

    Exit codes: 0 shown; 2 no run has such a backend; 5 the runs cannot be read.
    """
    from mac_whisper_speedtest.cli import options
    from mac_whisper_speedtest.compare import document, history
    from mac_whisper_speedtest.report import history as terminal

    found = history.history(
        backend,
        model=model,
        clip=clip,
        contract=contract,
        limit=options.at_least(1, limit, "--limit"),
    )
    if as_json:
        click.echo(document.to_json(found), nl=False)
    else:
        terminal.show(found)
