"""``speedtest show``: a run again, from its journal if need be."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.cli import completion, options
from mac_whisper_speedtest.cli.output import echo_document, echo_json
from mac_whisper_speedtest.errors import StorageError, UsageError

if TYPE_CHECKING:
    from mac_whisper_speedtest.accuracy.differing_spans import DifferingSpan
    from mac_whisper_speedtest.accuracy.normalize import Normalizer
    from mac_whisper_speedtest.report.texts import RecordingDiff, TextDifference
    from mac_whisper_speedtest.results.schema import CellResult


@click.command("show")
@click.argument("run", default="latest", shell_complete=completion.runs)
@options.results_files
@options.json_flag
@click.option("--wide", is_flag=True, help="Show all columns, over several tables if need be.")
def command(run: str, output: tuple[Path, ...], as_json: bool, wide: bool) -> None:
    """Show RUN (a number, a path, a tag, a bundle, or "latest") as a table.

    Figures are computed from the run's journal, unless this version already computed them from the
    same files. So this also works for a run whose tool was killed; it is then sealed.
    """
    from mac_whisper_speedtest.compare import sources
    from mac_whisper_speedtest.report import table
    from mac_whisper_speedtest.results import directory

    if output:  # only then, because the columns of exports are derived when they are imported
        from mac_whisper_speedtest.export import files

        for path in output:
            files.check_writable(path)
    source = sources.load(run)
    found, replayed = source.directory, source.run
    outcome = replayed.manifest.outcome
    ended = outcome is not None and outcome.state != "running"
    if found is not None and ended and not found.sealed_path.exists():
        with contextlib.suppress(StorageError):  # a copy that may only be read can still be shown
            found.seal(replayed)
    for path in output:
        files.write_export(replayed, path)
    if as_json:
        echo_document(directory.pretty(replayed).decode())
    else:
        saved_as = directory.name_of(found) if found is not None else run
        table.show_run(replayed, saved_as=saved_as, wide=wide)


# ``speedtest score``: a run's texts scored again; the run itself stays unchanged.


@click.command("score")
@click.argument("run", default="latest", shell_complete=completion.runs)
@click.option("--normalizer", help="english, basic, nfc or none.  [default: by language]")
@click.option(
    "--reference-backend",
    help="Compare with this backend of the run.  [default: by fixed order]",
    shell_complete=completion.backends,
)
@click.option(
    "--reference-text",
    help="The spoken text, for a run on a single recording: a text file, or the words.",
    shell_complete=completion.files,
)
@click.option("--per-utterance", is_flag=True, help="Also show every utterance's rate.")
@options.json_flag
def score_command(  # noqa: PLR0917 - one parameter per option
    run: str,
    normalizer: str | None,
    reference_backend: str | None,
    reference_text: str | None,
    per_utterance: bool,
    as_json: bool,
) -> None:
    """Score RUN (a number, a path, a tag, a bundle, or "latest") again, from its raw texts.

    Shows WER or CER over all recordings, with the words replaced, missing and added; of a recording
    without text, all words are missing. Each backend is compared with the reference backend:
    "worse" is worse by more than one percentage point, beyond doubt. Nothing is written.

    \b
    speedtest score latest
    speedtest score 12 --normalizer basic --per-utterance

    Exit codes: 0 scored; 2 the request was wrong, or nothing can be scored; 5 the run cannot be
    read.
    """
    import msgspec

    from mac_whisper_speedtest.accuracy import normalize
    from mac_whisper_speedtest.compare import sources
    from mac_whisper_speedtest.report import texts
    from mac_whisper_speedtest.summary import accuracy

    rules = normalize.named(normalizer) if normalizer else None
    source = sources.replayed(run)
    replayed = source.run
    cells = list(replayed.cells)
    if reference_text is not None:
        cells = _with_reference(cells, reference_text)
    if reference_backend is None:
        reference_backend = replayed.manifest.request.reference_backend
    else:
        reference_backend = named(reference_backend, cells)
    judged = accuracy.judge_accuracy(cells, reference_backend=reference_backend, normalizer=rules)
    if not judged:
        raise UsageError(
            f"run {source.label} has no text to score, or nothing to score it against",
            hint="for a single recording, add --reference-text FILE with its text",
        )
    results = {name: accuracy.result(each) for name, each in judged.items()}
    if not as_json:
        texts.show_scores(cells, results, per_utterance=per_utterance)
        return
    echo_json(
        {
            "schema_version": replayed.schema_version,
            "run": replayed.manifest.run,
            "cells": [
                {
                    "id": cell.id,
                    "backend": cell.backend.name,
                    "model": cell.model.name,
                    "clip": cell.clip.name,
                    "accuracy": msgspec.to_builtins(results[cell.id]),
                }
                for cell in cells
                if cell.id in results
            ],
        }
    )


def named(name: str, cells: list[CellResult]) -> str:
    """The backend of a run by its name or alias. Raises UsageError, which lists the backends."""
    from mac_whisper_speedtest.backends.registry import canonical

    there = list(dict.fromkeys(cell.backend.name for cell in cells))
    known = canonical(name)
    if known in there:
        return known
    raise UsageError(
        f"the run has no backend {name!r}", hint=f"it has {', '.join(there) or 'none'}"
    )


def _with_reference(cells: list[CellResult], given: str) -> list[CellResult]:
    """The cells, with the words of ``--reference-text`` as reference.

    Raises:
        UsageError: the run has more than one recording.
        AudioError: the words cannot be read.
    """
    import msgspec

    from mac_whisper_speedtest.audio.reference_text import stated_text

    text = stated_text(given, "--reference-text")
    if len({cell.clip.name for cell in cells}) > 1 or any(cell.clip.utterances for cell in cells):
        raise UsageError(
            "--reference-text is for a run on a single recording",
            hint="give a set's reference texts in its manifest, and run again",
        )
    clip = msgspec.structs.replace
    return [clip(cell, clip=clip(cell.clip, reference=text)) for cell in cells]


# ``speedtest diff``: where two backends of a run wrote something else, and who is right.


_SOME = 5
"""Recordings that an error names: a set may have thousands."""


@click.command("diff")
@click.argument("run", shell_complete=completion.runs)
@click.argument("backend_a", shell_complete=completion.backends)
@click.argument("backend_b", shell_complete=completion.backends)
@click.option("--model", "-m", help="Only this model of the run.", shell_complete=completion.models)
@click.option("--utterance", help="Only this recording of a set.")
@click.option("--normalizer", help="english, basic, nfc or none.  [default: by language]")
def diff_command(  # noqa: PLR0917 - one parameter per option
    run: str,
    backend_a: str,
    backend_b: str,
    model: str | None,
    utterance: str | None,
    normalizer: str | None,
) -> None:
    """Show where BACKEND_A and BACKEND_B wrote different words in RUN, and which is right.

    RUN is a number, a path, a tag, a bundle, or "latest". Words are compared after normalizing;
    equal parts are left out. Where samples of a cell differ, its most frequent text is
    taken.

    \b
    speedtest diff latest faster-whisper whisper.cpp
    speedtest diff 12 openai-whisper mlx-whisper --utterance 1089-134686-0000

    Exit codes: 0 shown, whether they differ or not; 2 the request was wrong; 5 the run cannot be
    read.
    """
    from mac_whisper_speedtest.accuracy import normalize
    from mac_whisper_speedtest.compare import sources
    from mac_whisper_speedtest.report import texts
    from mac_whisper_speedtest.summary import accuracy

    rules = normalize.named(normalizer) if normalizer else None
    cells = sources.replayed(run).run.cells
    pairs = _pairs(cells, backend_a, backend_b, model)
    shown = False
    for first, second in pairs:
        parts = _parts(first, second, utterance, rules)
        if parts:
            texts.show_diff(_title(first, second, rules), parts)
            shown = True
    if not shown:
        there = [each.name for first, _ in pairs for each in accuracy.texts_in_order(first)]
        some = ", ".join([*there[:_SOME], *(["…"] if len(there) > _SOME else [])])
        raise UsageError(f"the run has no recording {utterance!r}", hint=f"it has {some}")


def _pairs(
    cells: list[CellResult], backend_a: str, backend_b: str, model: str | None
) -> list[tuple[CellResult, CellResult]]:
    """The cells of both backends on the same model and speech.

    Raises:
        UsageError: a backend or the model is not in the run, or no recording has both.
    """
    a, b = named(backend_a, cells), named(backend_b, cells)
    models = list(dict.fromkeys(cell.model.name for cell in cells))
    if model is not None and model not in models:
        raise UsageError(f"the run has no model {model!r}", hint=f"it has {', '.join(models)}")
    if a == b and [cell.backend.name for cell in cells].count(a) == len(models):
        raise UsageError(f"{a} is in the run only once", hint="name two backends of the run")
    pairs = [
        (cell, other)
        for place, cell in enumerate(cells)
        for other in (cells if a != b else cells[place + 1 :])
        if (cell.backend.name, other.backend.name) == (a, b)
        and cell.clip.name == other.clip.name
        and model in {None, cell.model.name, other.model.name}
    ]
    # The same network if both have it, else each its own (Parakeet has no Whisper weights).
    same = [(cell, other) for cell, other in pairs if cell.model.name == other.model.name]
    if not pairs:
        raise UsageError(f"{a} and {b} have no recording in common")
    return same or pairs


def _title(first: CellResult, second: CellResult, rules: Normalizer | None) -> str:
    from mac_whisper_speedtest.accuracy import bootstrap
    from mac_whisper_speedtest.results.cells import range_text
    from mac_whisper_speedtest.summary import accuracy

    named = []
    for cell in (first, second):
        score = accuracy.score(cell, rules)
        rate = ""
        if score is not None and score.rate is not None:
            bounds = bootstrap.rate_interval(score)
            ends = f", {range_text(bounds.low, bounds.high, '.2%')}" if bounds else ""
            rate = f" ({score.metric.upper()} {score.rate:.2%}{ends})"
        named.append(f"{cell.backend.name} {cell.model.name}{rate}")
    return f"{named[0]} and {named[1]} on {first.clip.name}"


def _parts(
    first: CellResult, second: CellResult, recording: str | None, rules: Normalizer | None
) -> list[RecordingDiff]:
    """Differences recording by recording, and their sum; empty if no recording has that name."""
    from mac_whisper_speedtest.accuracy import differing_spans
    from mac_whisper_speedtest.report.texts import RecordingDiff
    from mac_whisper_speedtest.results.cells import counted
    from mac_whisper_speedtest.summary import accuracy

    labels = (first.backend.name, second.backend.name)
    theirs = accuracy.texts_in_order(second)
    pairs = [
        (each, other)
        for each, other in zip(accuracy.texts_in_order(first), theirs, strict=True)
        if recording in {None, each.name}
    ]
    if not pairs:
        return []
    parts: list[RecordingDiff] = []
    alike = both_wrong = 0
    for each, other in pairs:
        both = zip(labels, (each, other), strict=True)
        if late := [label for label, heard in both if not heard.reached]:
            parts.append(RecordingDiff(each.name, (), (f"not reached by {' and '.join(late)}",)))
            continue
        if each.text is None or other.text is None:
            texts = zip(labels, (each.text, other.text), strict=True)
            failed = " and ".join(label for label, text in texts if text is None)
            parts.append(RecordingDiff(each.name, (), (f"no text from {failed}",)))
            continue
        found = differing_spans.compare_texts(
            each.reference, each.text, other.text, language=each.language, normalizer=rules
        )
        both_wrong += found.shared_errors
        alike += not found.spans
        if found.spans:
            spans = tuple(_place(span, labels) for span in found.spans)
            parts.append(RecordingDiff(each.name, spans))
        elif found.only_formatting:
            parts.append(RecordingDiff(each.name, (), ("the same words, written differently",)))
    has = "has" if len(pairs) == 1 else "have"
    total = f"{alike} of {counted(len(pairs), 'recording')} {has} the same words"
    wrong = f"; both make the same mistake in {both_wrong} places" if both_wrong else ""
    return [*parts, RecordingDiff("", (), (f"{total}{wrong}",))]


def _place(span: DifferingSpan, labels: tuple[str, str]) -> TextDifference:
    from mac_whisper_speedtest.report.texts import SourceText, TextDifference

    rows = []
    if span.reference is not None:
        rows.append(SourceText("said", span.reference))
    for label, words, which in zip(
        labels, (span.first, span.second), ("first", "second"), strict=True
    ):
        right = None if span.right is None else span.right == which
        rows.append(SourceText(label, words, right))
    return TextDifference(span.before, tuple(rows), span.after)
