"""``speedtest results``: list, check, share and remove runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.cli import completion, options, show
from mac_whisper_speedtest.cli.output import (
    RewrittenLine,
    echo,
    echo_json,
    notify,
    say,
    size,
)
from mac_whisper_speedtest.errors import ExitCode, StorageError, UsageError

if TYPE_CHECKING:
    from mac_whisper_speedtest.results.directory import RunDirectory
    from mac_whisper_speedtest.store.rows import RunRow


@click.group("results")
def command() -> None:
    """List, check, share and remove runs."""


# results list


_SCHEMA_VERSION = 1
_SOME = 3
_ID_DIGITS = 8
"""Names in one field of the table; ``--json`` has all."""


@click.command("list")
@click.option(
    "--model",
    "-m",
    default="",
    help="Only runs with a cell of this model.",
    shell_complete=completion.models,
)
@click.option(
    "--backend",
    "-b",
    default="",
    help="Only runs with a cell of this backend.",
    shell_complete=completion.backends,
)
@click.option("--tag", default="", help="Only runs with this tag.", shell_complete=completion.tags)
@click.option("--state", default="", help="Only runs in this state, such as complete.")
@options.json_flag
def list_runs(model: str, backend: str, tag: str, state: str, as_json: bool) -> None:
    """List runs in order of their numbers, the newest last.

    Runs that changed since the last call are read first; an unreadable run is listed with the
    reason.

    \b
    speedtest results list --backend whisper.cpp --tag base
    speedtest results list --json

    Exit codes: 0 listed; 2 the request was wrong; 5 the runs cannot be read.
    """
    from mac_whisper_speedtest.store.index import open_index
    from mac_whisper_speedtest.store.rows import STATES

    if state and state not in STATES:
        raise UsageError(f"no run has the state {state!r}", hint=f"use one of {', '.join(STATES)}")
    with open_index(notify) as index:
        found = index.runs(model=model, backend=backend, tag=tag, state=state)
    if as_json:
        runs = [asdict(row) for row in found]
        echo_json({"schema_version": _SCHEMA_VERSION, "runs": runs})
        return
    if not found:
        narrowed = model or backend or tag or state
        say("no run matches" if narrowed else "no runs yet")
        return
    from mac_whisper_speedtest.privacy import scrub
    from mac_whisper_speedtest.report.terminal import show_list

    rows = [[scrub(text) for text in _texts(row)] for row in found]
    show_list(_HEADINGS, rows, least=_MOST_IMPORTANT, more="speedtest results list --json")
    for row in found:
        if row.message and not row.backends:  # it could not be read
            echo(f"run {row.number}: {row.message}")


_HEADINGS = ("run", "started", "state", "cells", "backends", "models", "tags", "speech")
_MOST_IMPORTANT = 6


def _texts(row: RunRow) -> tuple[str, ...]:
    from mac_whisper_speedtest.store.rows import OUTDATED, RUNNING, UNREADABLE

    sealed = row.sealed or row.state in {RUNNING, OUTDATED, UNREADABLE}
    return (
        str(row.number),
        row.started_at.replace("T", " ")[:16],
        row.state if sealed else f"{row.state}, not sealed",
        f"{row.cells_ok}/{row.cells}",
        _some(row.backends),
        _some(row.models),
        ", ".join(row.tags),
        _some(row.speech),
    )


def _some(names: tuple[str, ...]) -> str:
    more = f" +{len(names) - _SOME}" if len(names) > _SOME else ""
    return ", ".join(names[:_SOME]) + more


# results rm


@click.command("rm")
@click.argument("runs", nargs=-1, required=True, shell_complete=completion.runs)
@options.dry_run_flag
@options.yes_flag
def rm(runs: tuple[str, ...], dry_run: bool, yes: bool) -> None:
    """Remove RUNS with all their samples. Asks first.

    A RUN is a number, a tag (the latest run that has it), a run id, or "latest". A run that is
    being written is refused, and then none is removed. The number of a removed run is not used
    again.

    \b
    speedtest results rm 12 13
    speedtest results bundle 12 -o 12.zip && speedtest results rm 12 --yes

    Exit codes: 0 removed, or declined; 2 the request was wrong; 5 a run could not be removed.
    """
    from mac_whisper_speedtest.results import directory
    from mac_whisper_speedtest.store import maintenance

    chosen = list(dict.fromkeys(directory.find(name) for name in runs))
    for run in chosen:
        maintenance.require_removable(run)
        taken = size(maintenance.size_bytes(run.path))
        echo(f"run {directory.name_of(run)}: {taken}: {run.path}")
    if dry_run or not options.confirmed(yes=yes):
        return
    freed = sum(maintenance.remove(run) for run in chosen)
    say(f"freed {size(freed)} ({freed} bytes)")


# results gc


@click.command("gc")
@options.dry_run_flag
@options.yes_flag
def gc(dry_run: bool, yes: bool) -> None:
    """Remove leftovers of crashed processes. Asks first; runs are never touched.

    These are incomplete files, folders of runs that were killed before anything was written,
    half-removed runs, and unusable indexes. Files that changed within the last hour or are being
    written stay.

    Exit codes: 0 removed, declined, or nothing found; 2 confirmation was not possible; 5 something
    could not be removed.
    """
    from mac_whisper_speedtest.store import maintenance

    found = maintenance.leftovers()
    for item in found:
        echo(f"{item.what}: {size(item.size_bytes)}: {item.path}")
    if not found:
        say("nothing to remove")
        return
    total = sum(item.size_bytes for item in found)
    say(f"{size(total)} in all")
    if dry_run or not options.confirmed(yes=yes):
        return
    for item in found:
        maintenance.remove_leftover(item)
    say(f"freed {size(total)} ({total} bytes)")


# results verify


@click.command("verify")
@click.argument("runs", nargs=-1, shell_complete=completion.runs)
@click.option(
    "--signed-by", metavar="KEY", help="Bundles must be signed by this public key (or .pub file)."
)
@options.json_flag
@click.pass_context
def verify_runs(
    ctx: click.Context, runs: tuple[str, ...], signed_by: str | None, as_json: bool
) -> None:
    """Recompute digests and figures of RUNS (by default all) and report differences.

    A RUN is a number, a tag, a run id, a path, "latest", or a bundle (.zip), whose signature is
    checked too. Nothing is written. Digests show damage and careless edits; they are no signature.

    \b
    speedtest results verify
    speedtest results verify latest 12
    speedtest results verify m2-air.zip --signed-by m2-air.pub

    Exit codes: 0 no problem found; 2 the request was wrong; 5 a run is damaged or cannot be read.
    """
    from mac_whisper_speedtest.bundle import signature
    from mac_whisper_speedtest.results import directory
    from mac_whisper_speedtest.store import verify

    key = signature.public_key(signed_by) if signed_by else None
    chosen = [*runs] if runs else [directory.name_of(run) for run in directory.every()]
    documents = []
    wrong = 0
    for each in chosen:
        if (path := Path(each)).suffix.lower() == ".zip" and path.is_file():
            what, name = "bundle", path.name
            problems, remarks = _verified_bundle(path, key)
        else:
            run = directory.find(each)
            what, name, found = "run", directory.name_of(run), verify.examine(run)
            problems, remarks = found.problems, found.remarks
        wrong += bool(problems)
        if as_json:
            documents.append({what: name, "problems": problems, "remarks": remarks})
            continue
        echo(f"{what} {name}: {'WRONG' if problems else 'good'}")
        for problem in problems:
            echo(f"  wrong: {problem}")
        for remark in remarks:
            echo(f"  note: {remark}")
    if as_json:
        echo_json({"schema_version": _SCHEMA_VERSION, "runs": documents})
    else:
        say(f"{len(chosen) - wrong} of {len(chosen)} runs are good")
    ctx.exit(ExitCode.STORAGE if wrong else ExitCode.OK)


def _verified_bundle(path: Path, key: str | None) -> tuple[Sequence[str], Sequence[str]]:
    """What is wrong with a bundle, and remarks on it.

    Args:
        path: the file.
        key: the public key that must have signed it.
    """
    from mac_whisper_speedtest.bundle import read, signature
    from mac_whisper_speedtest.bundle.container import BundleError

    problems: list[str] = []
    signer = ""
    try:
        read.read_bundle(path)
    except BundleError as error:
        problems.append(error.message)
    try:
        signer = signature.signer_of(path)
    except BundleError as error:
        problems.append(error.message)
    if key is not None and signer != key:
        problems.append(f"it is not signed by {key}")
    return problems, [f"signed by {signer}" if signer else "not signed"]


# results reindex


@click.command("reindex")
def reindex() -> None:
    """Rebuild the index from the runs.

    The index is created and updated automatically; rebuild it if it seems wrong. Everything in it
    comes from the runs.

    Exit codes: 0 done; 5 the runs cannot be read, or the index cannot be written.
    """
    from mac_whisper_speedtest.store import location
    from mac_whisper_speedtest.store.index import open_index

    decided = location.index_location()
    if decided.path is None:
        raise StorageError(f"no location for the index: {decided.reason}")
    if decided.reason:
        echo(decided.reason)
    began_s = time.monotonic()
    with open_index(notify, refresh=False) as index:
        if damage := index.check():
            index.recreate(damage)
        line = RewrittenLine()
        done = index.refresh(
            everything=True,
            progress=lambda read, total: line.progress(
                f"read {read} of {total} runs", done=read >= total
            ),
        )
        kept = index.path
    if kept is None:
        raise StorageError("the index could not be written", hint="check the free disk space")
    took_s = time.monotonic() - began_s
    echo(f"{done.read} runs with {done.samples} samples in {took_s:.1f} s: {kept}")


# results bundle


@click.command("bundle")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=completion.runs)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to write, or a folder for one run-NUMBER-ID.zip per run.",
)
@click.option(
    "--without-texts",
    is_flag=True,
    help="Leave out the texts of your own recordings. WER can then not be recomputed.",
)
@click.option(
    "--sign",
    "key",
    type=click.Path(path_type=Path),
    metavar="KEY",
    help="Sign it with this minisign key; a missing key is created.",
)
def bundle_run(runs: tuple[str, ...], output: Path, without_texts: bool, key: Path | None) -> None:
    """Write RUN (a number, a tag, an id, a path, or "latest") as a file that others can check.

    It holds everything that figures are computed from, and nothing that names you: no user or host
    name, no path, no token, no serial number, no file names of yours. Transcripts are included
    unchanged. docs/reference/bundles.md lists every field.

    \b
    speedtest results bundle latest -o m2-air.zip
    speedtest results bundle 12 13 14 -o bundles/
    speedtest results bundle latest -o m2-air.zip --sign ~/speedtest.key

    Exit codes: 0 written; 2 no such run, or something in it would give away a secret; 5 a run is
    damaged, or a file cannot be written.
    """
    from mac_whisper_speedtest.bundle import signature, write
    from mac_whisper_speedtest.results import directory

    found = list({run.path: run for run in map(directory.find, runs)}.values())
    folder = len(found) > 1 or output.is_dir() or not (output.suffix or output.exists())
    if folder and output.is_file():
        raise UsageError(
            f"{output} is a file, and {len(found)} runs are {len(found)} bundles",
            hint="name a folder with -o",
        )
    if not folder and output.suffix.lower() != ".zip":
        raise UsageError(
            f"cannot write {output}: a bundle's name ends in .zip",
            hint=f"use -o {output.with_suffix('.zip')}, or a folder",
        )
    for run in found:
        # With a part of its id, so that runs of several machines fit into one folder.
        name = f"run-{run.path.name}-{run.manifest().run_id[:_ID_DIGITS]}.zip"
        path = output / name if folder else output
        write.write_bundle(run, path, texts=not without_texts)
        echo(f"Wrote {path}: run {directory.name_of(run)}, {size(path.stat().st_size)}.")
        if key is not None:
            public = signature.sign_bundle(path, key, password=_ask_password)
            echo(f"Signed it: {signature.signature_path(path)}, by {public}")
        _warn_of_texts(run, without_texts=without_texts)


def _ask_password() -> str:
    found: str = click.prompt("Password of the key", hide_input=True, err=True)
    return found


def _warn_of_texts(run: RunDirectory, *, without_texts: bool) -> None:
    """Warn that the user's own texts are shared, or that WER is lost without them."""
    from mac_whisper_speedtest.bundle import redact

    if not redact.private_clips(run.manifest()):
        return
    if without_texts:
        say("It has no transcripts of your recordings: WER cannot be recomputed from it.")
    else:
        say(
            "It has the texts of your own recordings, word for word. --without-texts leaves them "
            "out."
        )


# results import


@click.command("import")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
def import_bundles(files: tuple[Path, ...]) -> None:
    """Check the bundle FILE, recompute its figures, and import it under the next run number.

    Nothing in a bundle is trusted: a bundle that is damaged, changed or implausible is refused with
    a reason. Importing a bundle twice gives one run.

    \b
    speedtest results import m2-air.zip
    speedtest results import bundles/*.zip

    Exit codes: 0 all are imported; 2 a file was refused (the others are imported); 5 a file cannot
    be read, or a run cannot be written.
    """
    from mac_whisper_speedtest.bundle import read
    from mac_whisper_speedtest.results import directory

    refused: UsageError | None = None
    for path in files:
        try:
            done = read.import_verified(path)
        except UsageError as error:
            if len(files) == 1:
                raise
            say(f"speedtest: error: {error.message}", err=True)
            refused = refused or error
            continue
        name = directory.name_of(done.run)
        echo(f"{path} is run {name}." if done.new else f"{path} is run {name} already.")
    if refused is not None:
        raise UsageError("not every file was imported", hint=refused.hint)


command.add_command(list_runs)
command.add_command(show.command)
for _each in (verify_runs, reindex, bundle_run, import_bundles, rm, gc):
    command.add_command(_each)
