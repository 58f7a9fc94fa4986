"""``speedtest models remove``: copies of weights that are no longer wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.cli import consent, scrubbed

if TYPE_CHECKING:
    from mac_whisper_speedtest.weights.remove import Removal


@click.command("remove")
@click.argument("names", nargs=-1, required=True)
@click.option("--form", default="", help="Only the copies in this form.")
@click.option("--hub", "from_hub", is_flag=True, help="Also what the Hugging Face cache holds.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and remove nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def command(names: tuple[str, ...], form: str, from_hub: bool, dry_run: bool, yes: bool) -> None:
    """Remove the copies of NAMES that this tool has made or fetched. Asks first.

    A NAME is a canonical model name, or org/name@REVISION. With --hub the pinned commit goes out of
    the Hugging Face cache too; other commits, and other networks' files in the same repository,
    stay. Other libraries' folders and installed packages are never touched.

    \b
    speedtest models remove tiny.en --form ggml
    speedtest models remove small --hub --dry-run
    """
    from mac_whisper_speedtest.cli.models_table import size
    from mac_whisper_speedtest.interrupts import as_keyboard_interrupt
    from mac_whisper_speedtest.weights import remove

    removals = [remove.plan(name, form=form, from_hub=from_hub) for name in dict.fromkeys(names)]
    for each in removals:
        _show(each, form=form, from_hub=from_hub)
    removals = [each for each in removals if each.own or each.hub]
    if not removals:
        return
    click.echo(f"{size(sum(each.size_bytes for each in removals))} in all")
    if dry_run or not consent.given(yes=yes):
        return
    with as_keyboard_interrupt():
        freed = sum(remove.carry_out(each, announce=_say) for each in removals)
    click.echo(f"freed {size(freed)} ({freed} bytes)")


def _show(removal: Removal, *, form: str, from_hub: bool) -> None:
    """What goes of one model, or where it may still be when there is nothing."""
    from mac_whisper_speedtest.cli.models_table import size

    for item in removal.own:
        scrubbed.echo(f"{removal.name}: {item.what}: {size(item.size_bytes)}: {item.path}")
    for copy in removal.hub:
        claim, going = copy.claim, copy.going
        what = "all files" if going.whole_snapshot else ", ".join(going.files)
        click.echo(
            f"{removal.name}: the Hugging Face cache: {size(copy.size_bytes)}: {what} of "
            f"{claim.repository}@{claim.revision}"
        )
    if removal.own or removal.hub:
        return
    what = f"{form} weights of {removal.name}" if form else f"weights of {removal.name}"
    if from_hub:
        click.echo(f"there are no {what} to remove")
        return
    click.echo(f"this tool keeps no {what} of its own" + _elsewhere(removal.name, form))


def _elsewhere(name: str, form: str) -> str:
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.cli.models_table import size
    from mac_whisper_speedtest.weights import remove

    if form and catalog.is_custom(name):
        return ""
    held = remove.plan(name, form=form, from_hub=True).size_bytes
    return f"; the Hugging Face cache holds {size(held)} of them: add --hub" if held else ""


def _say(text: str) -> None:
    click.echo(text, err=True)
