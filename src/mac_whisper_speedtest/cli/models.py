"""``speedtest models``: list, locate, convert and verify the weights of models."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mac_whisper_speedtest.cli import completion, models_pull, models_remove, options, output
from mac_whisper_speedtest.cli.output import say, size
from mac_whisper_speedtest.errors import ExitCode, UsageError, WeightsError, WeightsMissingError

if TYPE_CHECKING:
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.cli.documents import VerifyDocument
    from mac_whisper_speedtest.weights.inspect import CachedCopy
    from mac_whisper_speedtest.weights.inventory import CopyVerdict, InstalledWeights


@click.group("models")
def command() -> None:
    """List models; fetch, verify, convert and remove their weights."""


@command.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("destination", type=click.Path(path_type=Path))
@click.option(
    "--to", "target", required=True, help="ggml, huggingface, mlx, mlx-npz, openai or sherpa-onnx."
)
@click.option("--from", "source_format", help="The format of SOURCE.  [default: detected]")
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
    takes its name; provenance.json beside it names its source. Quantized weights (q8_0 and
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
    say(f"{destination}: {record.target_format} {record.precision}; {proof}")


# models list


_SCHEMA_VERSION = 1
_LANGUAGES = {"en": "English", "many": "multilingual"}
"""Any other is shown by its code."""


@click.command("list")
@options.json_flag
def list_models(as_json: bool) -> None:
    """List every canonical model name and its official weights.

    Local files are judged by their names and sizes; no file is opened and no server is contacted.
    Repositories that were pulled by their commit are listed too.
    """
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.weights.revisions import custom_listings

    models = [_facts(model) for model in catalog.models().values()]
    custom = [
        _custom_facts(catalog.Custom(each.repository, each.revision)) for each in custom_listings()
    ]
    if as_json:
        document = {"schema_version": _SCHEMA_VERSION, "models": models, "custom": custom}
        output.echo_json(document)
        return
    from mac_whisper_speedtest.report.terminal import show_list

    rows = [_texts(facts) for facts in [*models, *custom]]
    show_list(_HEADINGS, rows, least=3, more="speedtest models list --json")


def _facts(model: catalog.Model) -> dict[str, Any]:
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.weights import inventory

    row = catalog.official_weights(model.name)
    check = inventory.official(model.name)
    return {
        "name": model.name,
        "family": model.family,
        "languages": _LANGUAGES.get(model.languages, model.languages),
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
    """Of all files if their sizes are known; else of the weights file; else ``None``."""
    from mac_whisper_speedtest.weights.snapshot import pull_targets, resolve_offline

    if row.repository:
        snapshots = [resolve_offline(target) for target in pull_targets(row)]
        if None not in snapshots:
            return sum(file.size for each in snapshots if each for file in each.files)
    return row.known_bytes


def _custom_facts(custom: catalog.Custom) -> dict[str, Any]:
    from mac_whisper_speedtest.weights import inventory

    copy = inventory.custom_copy(custom)
    return {
        "name": str(custom),
        "size_bytes": sum(file.size or 0 for file in copy.location.expected),
        "state": str(copy.state),
        "problems": list(copy.problems),
    }


_HEADINGS = ("model", "state", "size", "languages", "family", "license", "class", "published at")
_SHORT_COMMIT = 12


def _texts(facts: dict[str, Any]) -> list[str]:
    """One text per heading; less is known of a custom repository."""
    about = [facts.get(key, "") for key in ("languages", "family", "license", "size_class")]
    repository, at, revision = facts.get("place", "").partition("@")
    place = f"{repository}{at}{revision[:_SHORT_COMMIT]}"
    return [facts["name"], facts["state"], size(facts["size_bytes"]), *about, place]


# models path


class _NotHereError(WeightsMissingError):
    exit_code = ExitCode.WEIGHTS_MISSING


class _DamagedError(WeightsError):
    exit_code = ExitCode.WEIGHTS_CORRUPT


@click.command("path")
@click.argument("name", shell_complete=completion.models)
@click.option(
    "--format", "weights_format", default="", help="ggml, mlx, …  [default: as published]"
)
@click.option("--precision", default="", help="With --format: float16, q5_1, …  [default: any]")
def path(name: str, weights_format: str, precision: str) -> None:
    """Print only the path of the weights of NAME.

    This is the file or folder that a backend would load: the official weights; with --format the
    copy converted to that format, or else the copy that libraries of that format keep themselves.
    Nothing is downloaded or converted, and files are judged by their size alone (see models
    verify).

    \b
    whisper-cli --model "$(speedtest models path tiny.en --format ggml)" --file talk.wav

    Exit codes: 0 printed; 6 not on this machine; 7 damaged.
    """
    if precision and not weights_format:
        raise UsageError("--precision needs --format", hint="add the format: --format ggml")
    say(str(_located(name, weights_format, precision).path))


def _located(name: str, weights_format: str, precision: str) -> CachedCopy:
    """The requested copy, if it is complete. Raises UsageError, WeightsError."""
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.weights import check, inventory
    from mac_whisper_speedtest.weights.inspect import WeightsState

    model = catalog.model(name).name
    catalog.require_files(name)
    if catalog.is_custom(name) and not weights_format:
        copy = inventory.custom_copy(catalog.parse_custom(name))
        return _complete(copy, f"the files of {model}", f"speedtest models pull {model}")
    found = (
        inventory.for_backend(model, weights_format, precision)
        if weights_format
        else inventory.official(model)
    )
    if found.state is WeightsState.UNAVAILABLE:
        raise UsageError(f"there are no {weights_format} weights of {model}: {found.reason}")
    what = f"{weights_format} {precision}".strip() or "official"
    # Without advice, the table of all locations helps further.
    hint = check.advice(found) or f"speedtest check-models -m {model} -v"
    return _complete(found.chosen, f"the {what} weights of {model}", hint)


def _complete(copy: CachedCopy | None, what: str, hint: str) -> CachedCopy:
    """``copy``, if it is complete. Raises WeightsError."""
    from mac_whisper_speedtest.weights.inspect import WeightsState

    if copy is None or copy.state is WeightsState.ABSENT:
        raise _NotHereError(f"{what} are not on this machine", hint=hint)
    if copy.state is WeightsState.COMPLETE:
        return copy
    problems = "; ".join(copy.problems)
    if copy.state is WeightsState.CORRUPT:
        raise _DamagedError(f"{what} are damaged in {copy.location.where}: {problems}", hint=hint)
    raise _NotHereError(f"{what} are incomplete in {copy.location.where}: {problems}", hint=hint)


# models verify


@click.command("verify")
@click.argument("names", nargs=-1, shell_complete=completion.models)
@click.option(
    "--all", "everything", is_flag=True, help="Verify all local copies; the default without NAMES."
)
@options.json_flag
@click.pass_context
def verify_models(
    ctx: click.Context, names: tuple[str, ...], everything: bool, as_json: bool
) -> None:
    """Verify every byte of the copies of NAMES against pinned hashes.

    All formats in all locations are read, also those that other libraries keep; earlier results are
    not reused.

    \b
    ok            every known hash matches
    corrupt       a file differs from what was published or converted
    partial       a file is missing
    not known     no hash of it is known
    not readable  a file cannot be read

    Exit codes: 0 no problem found; 6 no copy of a model was found, or a copy is incomplete; 7 a
    copy is corrupt.
    """
    from mac_whisper_speedtest.cli import weights_table
    from mac_whisper_speedtest.weights import inventory

    if everything and names:
        raise UsageError("--all and a name exclude each other", hint="leave out one of them")
    copies, nowhere = _installed(names)
    verdicts = inventory.verify(copies, progress=weights_table.progress(sys.stderr).reading)
    if as_json:
        output.echo_json(_document(verdicts, nowhere))
    else:
        for verdict in verdicts:
            _print(verdict)
        for name in nowhere:
            say(f"{name} is not on this machine")
        say(_summary(verdicts))
    ctx.exit(_exit_code(verdicts, nowhere))


def _installed(names: tuple[str, ...]) -> tuple[list[InstalledWeights], list[str]]:
    """The local copies of ``names``, or all, and the names without one."""
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.weights import inventory

    if not names:
        return inventory.all_installed(), []
    for name in names:
        catalog.require_files(name)
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
    held = verdict.weights
    what = " ".join(filter(None, (held.name, held.format, held.precision)))
    output.echo(
        f"{verdict.outcome:13} {what}: {held.copy.location.where}, {size(held.copy.size_bytes)}"
    )
    for problem in verdict.problems:
        output.echo(f"{'':13}   {problem}")
    if verdict.unknown:
        output.echo(f"{'':13}   no hash is known of {', '.join(verdict.unknown)}")


def _summary(verdicts: list[CopyVerdict]) -> str:
    if not verdicts:
        return "nothing to verify"
    counts = Counter(verdict.outcome for verdict in verdicts)
    read = size(sum(verdict.weights.copy.size_bytes for verdict in verdicts))
    return f"{', '.join(f'{n} {outcome}' for outcome, n in counts.items())}; {read} in all"


def _document(verdicts: list[CopyVerdict], nowhere: list[str]) -> VerifyDocument:
    return {
        "schema_version": _SCHEMA_VERSION,
        "copies": [
            {
                "model": verdict.weights.name,
                "format": verdict.weights.format,
                "precision": verdict.weights.precision,
                "where": verdict.weights.copy.location.where,
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


for _each in (
    list_models,
    path,
    models_pull.command,
    verify_models,
    models_remove.command,
    models_remove.prune,
):
    command.add_command(_each)
