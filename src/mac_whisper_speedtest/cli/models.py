"""``speedtest models``: canonical names, and weights from one format to another."""

from __future__ import annotations

import math
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mac_whisper_speedtest.cli import models_pull, options
from mac_whisper_speedtest.errors import ExitCode, UsageError, WeightsError, WeightsMissingError

if TYPE_CHECKING:
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.weights.inspect import CachedCopy
    from mac_whisper_speedtest.weights.inventory import CopyVerdict, InstalledWeights
    from mac_whisper_speedtest.weights.remove import Removal


@click.group("models")
def command() -> None:
    """List models; fetch, verify, convert and remove their weights."""


@command.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--to", "target", required=True, help="ggml, huggingface, mlx, mlx-npz or openai.")
@click.option("--from", "source_format", help="The format of SOURCE.  [default: found out]")
@click.option(
    "--precision",
    default="float16",
    show_default=True,
    help="float16 or float32; to ggml also q8_0, q5_1, q5_0, q4_1 or q4_0.",
)
def convert(
    source: Path, destination: Path, target: str, source_format: str | None, precision: str
) -> None:
    """Convert the weights SOURCE into the new folder DESTINATION.

    The result is read back and compared with the source tensor by tensor, bit for bit, before it
    takes its name; provenance.json beside it says where it came from. Quantized weights (q8_0 and
    so on) have other values: every one is compared with what the quantization allows.

    \b
    speedtest models convert ./my-ct2-model ./my-ggml-model --to ggml
    speedtest models convert ./my-ct2-model ./my-q5 --to ggml --precision q5_1
    """
    from mac_whisper_speedtest.convert import conversion

    record = conversion.convert(
        source, target, destination, precision=precision, source_format=source_format
    )
    proof = (
        f"all {record.values} values are exactly the source's"
        if record.lossless
        else f"{record.changed_values} of {record.values} values were changed to fit {precision}"
    )
    click.echo(f"{destination}: {record.target_format} {record.precision}; {proof}")


# ``speedtest models list``: every model, its official weights, and whether they are here.


_SCHEMA_VERSION = 1


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_models(as_json: bool) -> None:
    """List every canonical model name and the official weights behind it.

    What is here is judged by names and sizes; nothing is opened or asked for. Repositories that
    were pulled by their commit are listed too.
    """
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.weights.revisions import custom_listings

    models = [_facts(model) for model in catalog.models().values()]
    custom = [
        _custom_facts(catalog.Custom(each.repository, each.revision)) for each in custom_listings()
    ]
    if as_json:
        document = {"schema_version": _SCHEMA_VERSION, "models": models, "custom": custom}
        options.echo_json(document)
        return
    for line in _aligned([_cells(facts) for facts in models]):
        click.echo(line)
    for line in _aligned([[each["name"], *_size_and_state(each)] for each in custom]):
        click.echo(line)


def _facts(model: catalog.Model) -> dict[str, Any]:
    from mac_whisper_speedtest.weights import inventory

    row = inventory.official_row(model.name)
    check = inventory.official(model.name)
    return {
        "name": model.name,
        "family": model.family,
        "languages": "English" if model.english_only else "multilingual",
        "size_class": model.size_class,
        "license": row.license or model.license,
        "format": row.format,
        "precision": row.precision,
        "place": row.place,
        "size_bytes": _size_bytes(row),
        "state": str(check.state),
        "problems": list(check.problems),
    }


def _size_bytes(row: catalog.HostedWeights) -> int | None:
    """Of all files, where anybody knows; else of the weights file; else nothing."""
    from mac_whisper_speedtest.weights.snapshot import pull_target, resolve_offline

    if row.repository and (snapshot := resolve_offline(pull_target(row))) is not None:
        return sum(file.size for file in snapshot.files)
    if row.complete:
        return sum(file.size or 0 for file in row.files)
    return row.main_file.size if row.main_file else None


def _custom_facts(custom: catalog.Custom) -> dict[str, Any]:
    from mac_whisper_speedtest.weights import inventory

    copy = inventory.custom_copy(custom)
    return {
        "name": str(custom),
        "size_bytes": sum(file.size or 0 for file in copy.place.expected),
        "state": str(copy.state),
        "problems": list(copy.problems),
    }


def _cells(facts: dict[str, Any]) -> list[str]:
    about = [facts[key] for key in ("name", "family", "languages", "size_class")]
    return [*about, *_size_and_state(facts), facts["license"], facts["place"]]


def _size_and_state(facts: dict[str, Any]) -> list[str]:
    from mac_whisper_speedtest.cli.check_models import size

    return [size(facts["size_bytes"]), facts["state"]]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


# ``speedtest models path``: where the weights of one model are, for scripts.


class _NotHereError(WeightsMissingError):
    exit_code = ExitCode.WEIGHTS_MISSING


class _DamagedError(WeightsError):
    exit_code = ExitCode.WEIGHTS_CORRUPT


@click.command("path")
@click.argument("name")
@click.option(
    "--format", "weights_format", default="", help="ggml, mlx, …  [default: as published]"
)
@click.option("--precision", default="", help="With --format: float16, q5_1, …  [default: any]")
def path(name: str, weights_format: str, precision: str) -> None:
    """Print the path of the weights of NAME, and nothing else.

    It is the file or folder that a backend would be given: the official weights, with --format the
    copy converted to it, or else the one that libraries of that format keep themselves. Nothing is
    fetched or converted, and files are judged by their size alone (see models verify).

    \b
    whisper-cli --model "$(speedtest models path tiny.en --format ggml)" --file talk.wav

    Exit codes: 0 it is printed; 6 it is not here; 7 it is damaged.
    """
    if precision and not weights_format:
        raise UsageError("--precision is for --format", hint="say which format as well")
    click.echo(_found(name, weights_format, precision).path)


def _found(name: str, weights_format: str, precision: str) -> CachedCopy:
    """The copy that is meant, if it is whole. Raises UsageError, WeightsError."""
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.weights import check as needs
    from mac_whisper_speedtest.weights import inventory
    from mac_whisper_speedtest.weights.inspect import WeightsState

    model = catalog.model(name).name
    if catalog.is_custom(name) and not weights_format:
        copy = inventory.custom_copy(catalog.parse_custom(name))
        return _whole(copy, f"the files of {model}", f"speedtest models pull {model}")
    if weights_format:
        check = inventory.for_backend(model, weights_format, precision)
    else:
        check = inventory.official(model)
    if check.state is WeightsState.UNAVAILABLE:
        raise UsageError(f"there are no {weights_format} weights of {model}: {check.reason}")
    what = f"{weights_format} {precision}".strip() or "official"
    # Where nothing can be advised, the table of all places says more.
    hint = needs.advice(check) or f"speedtest check-models -m {model} -v"
    return _whole(check.chosen, f"the {what} weights of {model}", hint)


def _whole(copy: CachedCopy | None, what: str, hint: str) -> CachedCopy:
    """``copy``, if it is whole. Raises WeightsError."""
    from mac_whisper_speedtest.weights.inspect import WeightsState

    if copy is None or copy.state is WeightsState.ABSENT:
        raise _NotHereError(f"{what} are not on this machine", hint=hint)
    if copy.state is WeightsState.COMPLETE:
        return copy
    problems = "; ".join(copy.problems)
    if copy.state is WeightsState.CORRUPT:
        raise _DamagedError(f"{what} are damaged in {copy.place.where}: {problems}", hint=hint)
    raise _NotHereError(f"{what} are not whole in {copy.place.where}: {problems}", hint=hint)


# ``speedtest models remove``: copies of weights that are no longer


@click.command("remove")
@click.argument("names", nargs=-1, required=True)
@click.option("--format", "weights_format", default="", help="Only the copies in this format.")
@click.option("--hub", "from_hub", is_flag=True, help="Also what the Hugging Face cache holds.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and remove nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def remove_model(
    names: tuple[str, ...], weights_format: str, from_hub: bool, dry_run: bool, yes: bool
) -> None:
    """Remove the copies of NAMES that this tool converted or downloaded. Asks first.

    A NAME is a canonical model name, or org/name@REVISION. With --hub the pinned commit goes out of
    the Hugging Face cache too; other commits, and other networks' files in the same repository,
    stay. Other libraries' folders and installed packages are never touched.

    \b
    speedtest models remove tiny.en --format ggml
    speedtest models remove small --hub --dry-run
    """
    from mac_whisper_speedtest.cli.check_models import size
    from mac_whisper_speedtest.interrupts import as_keyboard_interrupt
    from mac_whisper_speedtest.weights import remove

    removals = [
        remove.plan_removal(name, weights_format=weights_format, from_hub=from_hub)
        for name in dict.fromkeys(names)
    ]
    for each in removals:
        _show(each, weights_format=weights_format, from_hub=from_hub)
    removals = [each for each in removals if each.own or each.hub]
    if not removals:
        return
    click.echo(f"{size(sum(each.size_bytes for each in removals))} in all")
    if dry_run or not options.given(yes=yes):
        return
    with as_keyboard_interrupt():
        freed = sum(remove.carry_out(each, notify=_say) for each in removals)
    click.echo(f"freed {size(freed)} ({freed} bytes)")


def _show(removal: Removal, *, weights_format: str, from_hub: bool) -> None:
    """What goes of one model, or where it may still be when there is nothing."""
    from mac_whisper_speedtest.cli.check_models import size

    for item in removal.own:
        options.echo(f"{removal.name}: {item.what}: {size(item.size_bytes)}: {item.path}")
    for copy in removal.hub:
        claim, going = copy.claim, copy.removable
        what = "all files" if going.whole_snapshot else ", ".join(going.files)
        click.echo(
            f"{removal.name}: the Hugging Face cache: {size(copy.size_bytes)}: {what} of "
            f"{claim.repository}@{claim.revision}"
        )
    if removal.own or removal.hub:
        return
    what = f"{weights_format} weights of {removal.name}".lstrip()
    if from_hub:
        click.echo(f"there are no {what} to remove")
        return
    click.echo(f"this tool keeps no {what} of its own" + _elsewhere(removal.name, weights_format))


def _elsewhere(name: str, weights_format: str) -> str:
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.cli.check_models import size
    from mac_whisper_speedtest.weights import remove

    if weights_format and catalog.is_custom(name):
        return ""
    held = remove.plan_removal(name, weights_format=weights_format, from_hub=True).size_bytes
    return f"; the Hugging Face cache holds {size(held)} of them: add --hub" if held else ""


def _say(text: str) -> None:
    click.echo(text, err=True)


# ``speedtest models prune``: what killed processes and older versions left behind.


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
def prune(days: float, dry_run: bool, yes: bool) -> None:
    """Remove unused and unfinished files: leftovers and partial downloads. Asks first.

    In the tool's own cache: what killed conversions and removals left, conversions of weights that
    the catalog no longer names, locks and empty folders. In the Hugging Face cache: unfinished
    downloads of repositories that this tool fetches from. What another process is at work on stays.
    """
    from mac_whisper_speedtest.cli.check_models import size
    from mac_whisper_speedtest.interrupts import as_keyboard_interrupt
    from mac_whisper_speedtest.weights import remove, trash

    if not (math.isfinite(days) and days >= 0):
        raise UsageError(f"--older-than is {days:g}, but must be a number of days from 0 on")
    leftovers = remove.plan_pruning(older_than_s=days * remove.DAY_S)
    for item in leftovers:
        options.echo(f"{item.what}: {size(item.size_bytes)}: {item.path}")
    if not leftovers:
        click.echo("there is nothing to remove")
        return
    click.echo(f"{size(sum(item.size_bytes for item in leftovers))} in all")
    if dry_run or not options.given(yes=yes):
        return
    freed = 0
    with as_keyboard_interrupt():
        for item in leftovers:
            gone = trash.remove_item(item)
            if gone is None:
                options.echo(f"left, another process has begun to use it: {item.path}")
            freed += gone or 0
    click.echo(f"freed {size(freed)} ({freed} bytes)")


# ``speedtest models verify``: every byte of every copy that is here.


@click.command("verify")
@click.argument("names", nargs=-1)
@click.option(
    "--all", "everything", is_flag=True, help="Everything that is here, as without NAMES."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.pass_context
def verify_models(
    ctx: click.Context, names: tuple[str, ...], everything: bool, as_json: bool
) -> None:
    """Verify every byte of the copies of NAMES against pinned hashes.

    All formats in all places are read, also those that other libraries keep; nothing that was found
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
    from mac_whisper_speedtest.cli import check_models
    from mac_whisper_speedtest.interrupts import as_keyboard_interrupt
    from mac_whisper_speedtest.weights import inventory

    if everything and names:
        raise UsageError("--all and a name exclude each other", hint="leave out one of them")
    copies, nowhere = _here(names)
    with as_keyboard_interrupt():
        verdicts = inventory.verify(copies, progress=check_models.progress(sys.stderr).reading)
    if as_json:
        options.echo_json(_document(verdicts, nowhere))
    else:
        for verdict in verdicts:
            _print(verdict)
        for name in nowhere:
            click.echo(f"{name} is nowhere on this machine")
        click.echo(_summary(verdicts))
    ctx.exit(_exit_code(verdicts, nowhere))


def _here(names: tuple[str, ...]) -> tuple[list[InstalledWeights], list[str]]:
    """What is here of ``names``, or everything, and the names that are nowhere."""
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.weights import inventory

    if not names:
        return inventory.all_installed(), []
    found = {
        name: inventory.installed_custom(catalog.parse_custom(name))
        if catalog.is_custom(name)
        else inventory.installed_weights(catalog.model(name).name)
        for name in names
    }
    here = [each for copies in found.values() for each in copies]
    return here, [name for name, copies in found.items() if not copies]


def _exit_code(verdicts: list[CopyVerdict], nowhere: list[str]) -> ExitCode:
    from mac_whisper_speedtest.weights.inventory import ReadOutcome

    outcomes = {verdict.outcome for verdict in verdicts}
    if ReadOutcome.CORRUPT in outcomes:
        return ExitCode.WEIGHTS_CORRUPT
    if nowhere or outcomes & {ReadOutcome.PARTIAL, ReadOutcome.UNREADABLE}:
        return ExitCode.WEIGHTS_MISSING
    return ExitCode.OK


def _print(verdict: CopyVerdict) -> None:
    from mac_whisper_speedtest.cli.check_models import size

    held = verdict.weights
    what = " ".join(filter(None, (held.name, held.format, held.precision)))
    options.echo(
        f"{verdict.outcome:13} {what}: {held.copy.place.where}, {size(held.copy.size_bytes)}"
    )
    for problem in verdict.problems:
        options.echo(f"{'':13}   {problem}")
    if verdict.unknown:
        options.echo(f"{'':13}   no hash is known of {', '.join(verdict.unknown)}")


def _summary(verdicts: list[CopyVerdict]) -> str:
    from mac_whisper_speedtest.cli.check_models import size

    if not verdicts:
        return "there is nothing to verify"
    counts = Counter(verdict.outcome for verdict in verdicts)
    read = size(sum(verdict.weights.copy.size_bytes for verdict in verdicts))
    return f"{', '.join(f'{n} {outcome}' for outcome, n in counts.items())}; {read} in all"


def _document(verdicts: list[CopyVerdict], nowhere: list[str]) -> dict[str, Any]:
    return {
        "schema_version": _SCHEMA_VERSION,
        "copies": [
            {
                "model": verdict.weights.name,
                "format": verdict.weights.format,
                "precision": verdict.weights.precision,
                "where": verdict.weights.copy.place.where,
                "path": str(verdict.weights.copy.path),
                "size_bytes": verdict.weights.copy.size_bytes,
                "outcome": str(verdict.outcome),
                "problems": list(verdict.problems),
                "files_without_hash": list(verdict.unknown),
            }
            for verdict in verdicts
        ],
        "nowhere": nowhere,
    }


for _each in (list_models, path, models_pull.command, verify_models, remove_model, prune):
    command.add_command(_each)
