"""``speedtest results rm``: runs that are no longer wanted."""

from __future__ import annotations

import click

from mac_whisper_speedtest.cli import consent, scrubbed


@click.command("rm")
@click.argument("runs", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Show what would go, and remove nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def command(runs: tuple[str, ...], dry_run: bool, yes: bool) -> None:
    """Remove RUNS with all their samples. Asks first.

    A RUN is a number, a tag (the latest run that has it), a run id, or "latest". A run that is
    being written is refused, and then none is removed. The number of a removed run is not given
    again.

    \b
    speedtest results rm 12 13
    speedtest results bundle 12 -o 12.zip && speedtest results rm 12 --yes

    Exit codes: 0 removed, or declined; 2 the request was wrong; 5 a run could not be removed.
    """
    from mac_whisper_speedtest.cli.models_table import size
    from mac_whisper_speedtest.results import directory
    from mac_whisper_speedtest.store import removal

    chosen = list(dict.fromkeys(directory.find(name) for name in runs))
    for run in chosen:
        removal.check(run)
        taken = size(removal.size_bytes(run.path))
        scrubbed.echo(f"run {directory.name_of(run)}: {taken}: {run.path}")
    if dry_run or not consent.given(yes=yes):
        return
    freed = sum(removal.remove(run) for run in chosen)
    click.echo(f"freed {size(freed)} ({freed} bytes)")
