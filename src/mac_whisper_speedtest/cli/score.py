"""``speedtest score``: a run's texts scored again; what was measured stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mac_whisper_speedtest.results.schema import CellResult


@click.command("score")
@click.argument("run", default="latest")
@click.option("--normaliser", help="english, basic, nfc or none.  [default: by language]")
@click.option(
    "--reference-backend", help="Compare with this backend of the run.  [default: by fixed order]"
)
@click.option(
    "--reference-file",
    type=click.Path(path_type=Path),
    help="A UTF-8 text with what was said, for a run on a single recording.",
)
@click.option("--per-utterance", is_flag=True, help="Also show every utterance's rate.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(  # noqa: PLR0917 - one parameter per option
    run: str,
    normaliser: str | None,
    reference_backend: str | None,
    reference_file: Path | None,
    per_utterance: bool,
    as_json: bool,
) -> None:
    """Score RUN (a number, a path, a tag, a bundle, or "latest") again, from its raw texts.

    Shows WER or CER over all recordings with substitutions (S), deletions (D) and insertions (I);
    a recording without text counts as all deletions. Each backend is compared with the reference
    backend: "worse" is worse by more than one percentage point, beyond doubt. Nothing is written.

    \b
    speedtest score latest
    speedtest score 12 --normaliser basic --per-utterance

    Exit codes: 0 scored; 2 the request was wrong, or nothing can be scored; 5 the run cannot be
    read.
    """
    import msgspec

    from mac_whisper_speedtest.accuracy import normalize
    from mac_whisper_speedtest.cli import scrubbed
    from mac_whisper_speedtest.compare import sources
    from mac_whisper_speedtest.errors import UsageError
    from mac_whisper_speedtest.report import texts
    from mac_whisper_speedtest.summary import accuracy

    rules = normalize.named(normaliser) if normaliser else None
    source = sources.replayed(run)
    replayed = source.run
    cells = list(replayed.cells)
    if reference_file is not None:
        cells = _with_reference(cells, reference_file)
    if reference_backend is None:
        reference_backend = replayed.manifest.request.reference_backend
    else:
        reference_backend = named(reference_backend, cells)
    judged = accuracy.judge(cells, reference_backend=reference_backend, normaliser=rules)
    if not judged:
        raise UsageError(
            f"run {source.label} has no text to score, or nothing to score it against",
            hint="for a single recording, say --reference-file FILE with what was said in it",
        )
    results = {name: accuracy.result(each) for name, each in judged.items()}
    if not as_json:
        texts.show(cells, results, per_utterance=per_utterance)
        return
    scrubbed.echo_json(
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


def named(wanted: str, cells: list[CellResult]) -> str:
    """The backend of a run that ``wanted`` means. Raises UsageError naming those there are."""
    from mac_whisper_speedtest.backends.registry import ALIASES
    from mac_whisper_speedtest.errors import UsageError

    there = list(dict.fromkeys(cell.backend.name for cell in cells))
    known = ALIASES.get(wanted.lower(), wanted)
    if known in there:
        return known
    raise UsageError(
        f"the run has no backend {wanted!r}", hint=f"it has {', '.join(there) or 'none'}"
    )


def _with_reference(cells: list[CellResult], path: Path) -> list[CellResult]:
    """The cells, with the words of ``path`` as what was said.

    Raises:
        UsageError: the file cannot be read, is empty, or the run has more than one recording.
    """
    import msgspec

    from mac_whisper_speedtest.errors import UsageError

    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start})") from error
    if not text:
        raise UsageError(f"{path} has no words")
    if len({cell.clip.name for cell in cells}) > 1 or any(cell.clip.utterances for cell in cells):
        raise UsageError(
            "--reference-file is for a run on a single recording",
            hint="give a set's reference texts in its manifest, and run again",
        )
    clip = msgspec.structs.replace
    return [clip(cell, clip=clip(cell.clip, reference=text)) for cell in cells]
