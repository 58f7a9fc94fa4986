"""``speedtest diff``: where two backends of a run wrote something else, and who is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mac_whisper_speedtest.accuracy.normalize import Normaliser
    from mac_whisper_speedtest.accuracy.passages import Passage
    from mac_whisper_speedtest.report.diff import Part, Place
    from mac_whisper_speedtest.results.schema import CellResult

_SOME = 5
"""Recordings that an error names: a set may have thousands."""


@click.command("diff")
@click.argument("run")
@click.argument("backend_a")
@click.argument("backend_b")
@click.option("--model", "-m", help="Only this model of the run.")
@click.option("--utterance", help="Only this recording of a set.")
@click.option("--normaliser", help="english, basic, nfc or none.  [default: by language]")
def command(  # noqa: PLR0917 - one parameter per option
    run: str,
    backend_a: str,
    backend_b: str,
    model: str | None,
    utterance: str | None,
    normaliser: str | None,
) -> None:
    """Show where BACKEND_A and BACKEND_B wrote something else in RUN, and who is right.

    RUN is a number, a path, a tag, a bundle, or "latest". Words are compared after normalising;
    what both wrote alike is left out. Where samples of a cell differ, its most frequent text is
    taken.

    \b
    speedtest diff latest faster-whisper whisper.cpp
    speedtest diff 12 openai-whisper mlx-whisper --utterance 1089-134686-0000

    Exit codes: 0 shown, whether they differ or not; 2 the request was wrong; 5 the run cannot be
    read.
    """
    from mac_whisper_speedtest.accuracy import normalize
    from mac_whisper_speedtest.compare import sources
    from mac_whisper_speedtest.errors import UsageError
    from mac_whisper_speedtest.report import diff

    rules = normalize.named(normaliser) if normaliser else None
    cells = sources.replayed(run).run.cells
    pairs = _pairs(cells, backend_a, backend_b, model)
    shown = False
    for first, second in pairs:
        parts = _parts(first, second, utterance, rules)
        if parts:
            diff.show(_title(first, second, rules), parts)
            shown = True
    if not shown:
        there = [name for first, _ in pairs for name in _recordings(first)]
        some = ", ".join([*there[:_SOME], *(["…"] if len(there) > _SOME else [])])
        raise UsageError(f"the run has no recording {utterance!r}", hint=f"it has {some}")


def _pairs(
    cells: list[CellResult], backend_a: str, backend_b: str, model: str | None
) -> list[tuple[CellResult, CellResult]]:
    """The cells of both backends on the same model and speech.

    Raises:
        UsageError: a backend or the model is not in the run, or nothing has both.
    """
    from mac_whisper_speedtest.cli.score import named
    from mac_whisper_speedtest.errors import UsageError

    a, b = named(backend_a, cells), named(backend_b, cells)
    models = list(dict.fromkeys(cell.model.name for cell in cells))
    if model is not None and model not in models:
        raise UsageError(f"the run has no model {model!r}", hint=f"it has {', '.join(models)}")
    pairs = [
        (cell, other)
        for cell in cells
        for other in cells
        if (cell.backend.name, other.backend.name) == (a, b)
        and cell.clip.name == other.clip.name
        and model in {None, cell.model.name, other.model.name}
    ]
    # The same network, where both have it; else what each has (Parakeet has no Whisper weights).
    same = [(cell, other) for cell, other in pairs if cell.model.name == other.model.name]
    if not pairs:
        raise UsageError(f"{a} and {b} have no recording in common")
    return same or pairs


def _title(first: CellResult, second: CellResult, rules: Normaliser | None) -> str:
    from mac_whisper_speedtest.summary import accuracy

    named = []
    for cell in (first, second):
        score = accuracy.score(cell, rules)
        known = score is not None and score.rate is not None
        rate = f" ({score.metric.upper()} {score.rate:.2%})" if score and known else ""
        named.append(f"{cell.backend.name} {cell.model.name}{rate}")
    return f"{named[0]} and {named[1]} on {first.clip.name}"


def _recordings(cell: CellResult) -> list[str]:
    from mac_whisper_speedtest.summary import samples

    return [each.name or cell.clip.name for each in samples.recordings(cell.clip)]


def _parts(
    first: CellResult, second: CellResult, wanted: str | None, rules: Normaliser | None
) -> list[Part]:
    """What differs, recording by recording, and the sum; empty where none is called ``wanted``."""
    from mac_whisper_speedtest.accuracy import passages
    from mac_whisper_speedtest.report.diff import Part
    from mac_whisper_speedtest.summary import accuracy, samples

    ours, theirs = accuracy.texts(first), accuracy.texts(second)
    labels = (first.backend.name, second.backend.name)
    parts: list[Part] = []
    looked = alike = both_wrong = 0
    for each in samples.recordings(first.clip):
        name = each.name or first.clip.name
        if wanted not in {None, name}:
            continue
        looked += 1
        a, b = ours[each.name], theirs[each.name]
        if a is None or b is None:
            failed = [label for label, text in zip(labels, (a, b), strict=True) if text is None]
            parts.append(Part(name, (), (f"no text from {' and '.join(failed)}",)))
            continue
        language = each.language or str(first.contract.requested.get("language") or "en")
        found = passages.compare(each.reference, a, b, language=language, normaliser=rules)
        both_wrong += found.shared_errors
        alike += not found.passages
        if found.passages:
            parts.append(Part(name, tuple(_place(passage, labels) for passage in found.passages)))
        elif found.only_form:
            parts.append(Part(name, (), ("the same words; only their form differs",)))
    if not looked:
        return []
    total = f"{alike} of {looked} {'recording has' if looked == 1 else 'recordings have'}"
    wrong = f"; both are wrong alike in {both_wrong} places" if both_wrong else ""
    return [*parts, Part("", (), (f"{total} the same words{wrong}",))]


def _place(passage: Passage, labels: tuple[str, str]) -> Place:
    from mac_whisper_speedtest.report.diff import Place, Row

    rows = []
    if passage.reference is not None:
        rows.append(Row("said", passage.reference))
    for label, words, which in zip(
        labels, (passage.first, passage.second), ("first", "second"), strict=True
    ):
        right = None if passage.right is None else passage.right == which
        rows.append(Row(label, words, right))
    return Place(passage.before, tuple(rows), passage.after)
