"""``speedtest compare``: speed, accuracy, memory and energy of two runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.cli import completion, options
from mac_whisper_speedtest.cli.output import echo_document
from mac_whisper_speedtest.errors import ExitCode, UsageError
from mac_whisper_speedtest.option import Share, WholeNumber

if TYPE_CHECKING:
    from mac_whisper_speedtest.compare.document import Compared


FORMATS = ("table", "markdown", "json", "github-action-benchmark", "hyperfine", "junit")
_BY_SUFFIX = {".md": "markdown", ".json": "json", ".xml": "junit", ".txt": "table"}


@click.command("compare")
@click.argument("base", shell_complete=completion.bases)
@click.argument("new", shell_complete=completion.runs)
@click.option(
    "--fail-on",
    multiple=True,
    metavar="WHAT",
    shell_complete=completion.fail_on,
    help="slower, wrong, changed, unclear, memory or energy: exit with 11 if found. Repeat it, "
    "or separate them by commas.",
)
@click.option(
    "--margin",
    type=options.Value(Share()),
    help="Smaller differences in speed do not count, such as 3%.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="What to print, or to write with -o: table shows all columns; markdown is for a pull "
    "request; github-action-benchmark and junit are for CI; hyperfine has the shape of its "
    "--export-json.  [default: a table that fits, or by the file's ending]",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Also write it here; the table is printed anyway.",
)
@click.option("--anyway", is_flag=True, help="Compare the runs although they are not comparable.")
@click.pass_context
def command(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    base: str,
    new: str,
    fail_on: tuple[str, ...],
    margin: float | None,
    form: str | None,
    output: Path | None,
    anyway: bool,
) -> None:
    """Compare two runs, NEW with BASE: speed, accuracy, memory, energy.

    BASE and NEW are numbers, paths, tags, run ids, "latest" or bundles (.zip). BASE may also be
    "previous-comparable": the newest earlier run with the same contract, speech, weights and kind
    of machine. Backends are matched by name, in any version.

    \b
    speedtest compare previous-comparable latest
    speedtest compare before after --fail-on slower,wrong --margin 3%
    speedtest compare 12 ci.zip --format markdown -o comment.md

    Exit codes: 0 compared; 2 the request was wrong, or the runs cannot be compared; 5 a run cannot
    be read; 11 something that --fail-on names was found.
    """
    from mac_whisper_speedtest import files
    from mac_whisper_speedtest.compare import compare, sources
    from mac_whisper_speedtest.compare import fail_on as gates
    from mac_whisper_speedtest.report import comparison as terminal

    kinds = gates.kinds(fail_on)
    chosen = form or (_by_suffix(output) if output is not None else "table")
    judged = sources.load(new)
    against = sources.load_base(base, judged.run.manifest)
    found = gates.judged(compare.compare(against, judged, margin=margin, anyway=anyway), kinds)
    if output is not None:
        files.write_bytes(output, _rendered(found, chosen).encode())
    if output is not None or chosen == "table":
        terminal.show_comparison(found, wide=form == "table")
    else:
        echo_document(_rendered(found, chosen))
    if found.regressions:
        ctx.exit(ExitCode.REGRESSION)


def _by_suffix(path: Path) -> str:
    """Raises UsageError."""
    form = _BY_SUFFIX.get(path.suffix.lower())
    if form is None:
        raise UsageError(
            f"{path.name} does not name a format",
            hint=f"add --format, or end it in {', '.join(_BY_SUFFIX)}",
        )
    return form


def _rendered(found: Compared, form: str) -> str:
    from mac_whisper_speedtest.compare import document
    from mac_whisper_speedtest.report import ci_formats, comparison_markdown
    from mac_whisper_speedtest.report import comparison as terminal

    writers = {
        "table": terminal.comparison_text,
        "markdown": comparison_markdown.render,
        "json": document.to_json,
        "github-action-benchmark": ci_formats.render_github_action_benchmark,
        "hyperfine": ci_formats.render_hyperfine,
        "junit": ci_formats.render_junit,
    }
    return writers[form](found)


# ``speedtest history``: one backend over time, and when it changed.


@click.command("history", context_settings={"show_default": True})
@click.argument("backend", shell_complete=completion.backends)
@click.option(
    "--model",
    "-m",
    default="",
    help="Only this model.",
    show_default=False,
    shell_complete=completion.models,
)
@click.option(
    "--clip",
    default="",
    help="Only speech of this name.",
    show_default=False,
    shell_complete=completion.clips,
)
@click.option("--contract", default="", help="Only this contract.", show_default=False)
@click.option(
    "--limit",
    type=options.Value(WholeNumber(least=1)),
    default=200,
    help="Use this many runs per series, the newest.",
)
@click.option(
    "--fail-on",
    type=click.Choice(("change", "slower")),
    help="Exit with 11 on a lasting change: any, or slower.",
    show_default=False,
)
@options.json_flag
@click.pass_context
def history(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    backend: str,
    model: str,
    clip: str,
    contract: str,
    limit: int,
    fail_on: str | None,
    as_json: bool,
) -> None:
    """Show BACKEND in every run, in any version, and when it became faster or slower.

    Runs are ordered by their numbers. Only comparable runs share a table: same contract, speech,
    weights, kind of machine and settings. A change must last: a single slow run does not count.

    \b
    speedtest history faster-whisper
    speedtest history whisper.cpp --model small --json
    speedtest history whisper.cpp --model small --limit 30 --fail-on change

    Exit codes: 0 shown; 2 no run has such a backend; 5 the runs cannot be read; 11 a change that
    --fail-on names is shown.
    """
    from mac_whisper_speedtest.compare import document
    from mac_whisper_speedtest.compare import history as trend
    from mac_whisper_speedtest.report import history as history_report
    from mac_whisper_speedtest.stats.ranking import Verdict

    found = trend.history(
        backend,
        model=model,
        clip=clip,
        contract=contract,
        limit=limit,
    )
    if as_json:
        echo_document(document.to_json(found))
    else:
        history_report.show_history(found)
    changes = [each for series in found.series for each in series.changes]
    if fail_on == "change" and changes:
        ctx.exit(ExitCode.REGRESSION)
    if fail_on == "slower" and any(each.verdict == Verdict.SLOWER for each in changes):
        ctx.exit(ExitCode.REGRESSION)
