"""``speedtest results gc``: what killed tools left beside the runs."""

from __future__ import annotations

import click

from mac_whisper_speedtest.cli import consent, scrubbed


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Show what would go, and remove nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def command(dry_run: bool, yes: bool) -> None:
    """Remove what is of no use to anybody. Asks first; runs are never touched.

    That is: files that were not written to their end, folders of runs whose tool was killed before
    it wrote anything, half-removed runs, and indexes that could not be used. What was touched
    within the last hour, or is being written, stays.

    Exit codes: 0 removed, declined, or nothing there; 2 nobody was there to be asked; 5 something
    could not be removed.
    """
    from mac_whisper_speedtest.cli.models_table import size
    from mac_whisper_speedtest.store import maintenance

    found = maintenance.leftovers()
    for item in found:
        scrubbed.echo(f"{item.what}: {size(item.size_bytes)}: {item.path}")
    if not found:
        click.echo("there is nothing to remove")
        return
    total = sum(item.size_bytes for item in found)
    click.echo(f"{size(total)} in all")
    if dry_run or not consent.given(yes=yes):
        return
    for item in found:
        maintenance.take_away(item)
    click.echo(f"freed {size(total)} ({total} bytes)")
