"""``speedtest models prune``: what killed processes and older versions left behind."""

from __future__ import annotations

import math

import click

from mac_whisper_speedtest.cli import consent, scrubbed
from mac_whisper_speedtest.errors import UsageError

_DAYS = 7.0


@click.command("prune")
@click.option(
    "--older-than",
    "days",
    type=float,
    default=_DAYS,
    show_default=True,
    help="Unfinished downloads go when nothing was added for so many days.",
)
@click.option("--dry-run", is_flag=True, help="Show what would go, and remove nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def command(days: float, dry_run: bool, yes: bool) -> None:
    """Remove what is of no use to anybody: leftovers and unfinished downloads. Asks first.

    In the tool's own cache: what killed conversions and removals left, conversions of weights that
    the catalogue no longer names, locks and empty folders. In the Hugging Face cache: unfinished
    downloads of repositories that this tool fetches from. What another process is at work on stays.
    """
    from mac_whisper_speedtest.cli.models_table import size
    from mac_whisper_speedtest.interrupts import as_keyboard_interrupt
    from mac_whisper_speedtest.weights import disposal, prune

    if not (math.isfinite(days) and days >= 0):
        raise UsageError(f"--older-than is {days:g}, but must be a number of days from 0 on")
    leftovers = prune.plan(older_than_s=days * prune.DAY_S)
    for item in leftovers:
        scrubbed.echo(f"{item.what}: {size(item.size_bytes)}: {item.path}")
    if not leftovers:
        click.echo("there is nothing to remove")
        return
    click.echo(f"{size(sum(item.size_bytes for item in leftovers))} in all")
    if dry_run or not consent.given(yes=yes):
        return
    freed = 0
    with as_keyboard_interrupt():
        for item in leftovers:
            gone = disposal.take_away(item)
            if gone is None:
                scrubbed.echo(f"left, another process has begun to use it: {item.path}")
            freed += gone or 0
    click.echo(f"freed {size(freed)} ({freed} bytes)")
