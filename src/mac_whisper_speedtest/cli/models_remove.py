"""``speedtest models remove`` and ``prune``: free the space of weights that are not needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import click

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.cli import completion, options, output
from mac_whisper_speedtest.cli.output import say, size
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.weights import remove, trash
from mac_whisper_speedtest.weights.remove import Removal
from mac_whisper_speedtest.weights.trash import TrashItem


@click.command("remove")
@click.argument("names", nargs=-1, required=True, shell_complete=completion.models)
@click.option("--format", "weights_format", default="", help="Only the copies in this format.")
@click.option("--hub", "from_hub", is_flag=True, help="Also the copies in the Hugging Face cache.")
@options.dry_run_flag
@options.yes_flag
def command(
    names: tuple[str, ...], weights_format: str, from_hub: bool, dry_run: bool, yes: bool
) -> None:
    """Remove the copies of NAMES that this tool converted or downloaded. Asks first.

    A NAME is a canonical model name, or org/name@REVISION. With --hub the pinned commit is removed
    from the Hugging Face cache too; other commits, and other models' files in the same repository,
    stay. Other libraries' folders and installed packages are never touched. A network that macOS
    keeps is released; macOS then removes it at some later time.

    \b
    speedtest models remove tiny.en --format ggml
    speedtest models remove small --hub --dry-run
    """
    kept = [name for name in dict.fromkeys(names) if catalog.kept_by(name)]
    removals = [
        remove.plan_removal(name, weights_format=weights_format, from_hub=from_hub)
        for name in dict.fromkeys(names)
        if name not in kept
    ]
    if kept:
        _release(kept, dry_run=dry_run, yes=yes)
    for each in removals:
        _show(each, weights_format=weights_format, from_hub=from_hub)
    removals = [each for each in removals if each.own or each.hub]
    if removals and _confirmed(removals, dry_run=dry_run, yes=yes):
        _free(remove.carry_out(each, notify=output.notify) for each in removals)


def _release(names: Sequence[str], *, dry_run: bool, yes: bool) -> None:
    """Let the system remove networks that it keeps itself, if the user agrees."""
    from mac_whisper_speedtest.backends import registry
    from mac_whisper_speedtest.weights import system_assets

    for name in names:
        say(f"{name}: {catalog.kept_by(name)} keeps it, and may remove it once it is released")
    if dry_run or not options.confirmed(yes=yes):
        return
    available = registry.installed().values()
    for name in names:
        row = catalog.official_weights(name)
        system_assets.release(row, system_assets.backend_for(row, available))
        say(f"{name} is released")


def _confirmed(going: Sequence[Removal | TrashItem], *, dry_run: bool, yes: bool) -> bool:
    """Whether to remove the listed files; shows their size first."""
    say(f"{size(sum(each.size_bytes for each in going))} in all")
    return not dry_run and options.confirmed(yes=yes)


def _free(removing: Iterable[int]) -> None:
    """Remove item by item, as the bytes of each are drawn, and print the sum."""
    freed = sum(removing)
    say(f"freed {size(freed)} ({freed} bytes)")


def _show(removal: Removal, *, weights_format: str, from_hub: bool) -> None:
    """Print what is removed of one model, or where other copies are."""
    for item in removal.own:
        output.echo(f"{removal.name}: {item.what}: {size(item.size_bytes)}: {item.path}")
    for copy in removal.hub:
        claim = copy.claim
        what = "all files" if copy.whole_snapshot else ", ".join(copy.files)
        say(
            f"{removal.name}: the Hugging Face cache: {size(copy.size_bytes)}: {what} of "
            f"{claim.repository}@{claim.revision}"
        )
    if removal.own or removal.hub:
        return
    what = f"{weights_format} weights of {removal.name}".lstrip()
    if from_hub:
        say(f"no {what} to remove")
        return
    say(f"this tool keeps no {what} of its own" + _elsewhere(removal.name, weights_format))


def _elsewhere(name: str, weights_format: str) -> str:
    if weights_format and catalog.is_custom(name):
        return ""
    held = remove.plan_removal(name, weights_format=weights_format, from_hub=True).size_bytes
    return f"; the Hugging Face cache holds {size(held)} of them: add --hub" if held else ""


@click.command("prune")
@click.option(
    "--older-than",
    "days",
    type=float,
    default=7.0,
    show_default=True,
    help="Remove unfinished downloads that did not grow for this many days.",
)
@options.dry_run_flag
@options.yes_flag
def prune(days: float, dry_run: bool, yes: bool) -> None:
    """Remove unused and unfinished files: leftovers and partial downloads. Asks first.

    In the tool's own cache: leftovers of killed conversions and removals, conversions of weights
    that the catalog no longer lists, locks and empty folders. In the Hugging Face cache: unfinished
    downloads of repositories that this tool downloads from. Files that another process is using
    stay.
    """
    if not (math.isfinite(days) and days >= 0):
        raise UsageError(f"--older-than is {days:g}, but must be a number of days, 0 or more")
    leftovers = remove.plan_pruning(older_than_s=days * remove.DAY_S)
    for item in leftovers:
        output.echo(f"{item.what}: {size(item.size_bytes)}: {item.path}")
    if not leftovers:
        say("nothing to remove")
        return
    if _confirmed(leftovers, dry_run=dry_run, yes=yes):
        _free(_remove(item) for item in leftovers)


def _remove(item: TrashItem) -> int:
    """Bytes freed: 0 if another process uses it now."""
    freed = trash.remove_item(item)
    if freed is None:
        output.echo(f"kept, because another process has begun to use it: {item.path}")
    return freed or 0
