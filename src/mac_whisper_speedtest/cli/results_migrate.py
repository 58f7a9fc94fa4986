"""``speedtest results migrate``: older runs, sealed as the present version does it."""

from __future__ import annotations

import click

from mac_whisper_speedtest.cli import scrubbed
from mac_whisper_speedtest.errors import ExitCode


@click.command("migrate")
@click.argument("runs", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@click.pass_context
def command(ctx: click.Context, runs: tuple[str, ...], dry_run: bool) -> None:
    """Write run.json of RUNS (all, if none is named) anew as this version would have done it.

    A RUN is a number, a tag, a run id, a path, or "latest". Every figure is computed from the
    manifest and the journal, which stay as they were written. Runs that no tool sealed are sealed
    too. What has changed since it was sealed, or is of a newer version, is left alone.

    Exit codes: 0 done, or nothing to do; 2 the request was wrong; 5 a run was left alone, or could
    not be written.
    """
    from mac_whisper_speedtest.results import directory
    from mac_whisper_speedtest.store import migrate

    chosen = [directory.find(name) for name in runs] if runs else directory.every()
    done = refused = 0
    for run in chosen:
        found = migrate.plan(run)
        name = directory.name_of(run)
        if found.refused:
            refused += 1
            scrubbed.echo(f"run {name}: left alone: {found.refused}")
        elif found.sealed is not None:
            done += 1
            if not dry_run:
                migrate.carry_out(found)
            scrubbed.echo(f"run {name}: {'would be ' if dry_run else ''}sealed: {found.why}")
    rest = len(chosen) - done - refused
    what = "to be sealed" if dry_run else "sealed"
    click.echo(f"{done} {what}, {rest} as they should be, {refused} left alone")
    ctx.exit(ExitCode.STORAGE if refused else ExitCode.OK)
