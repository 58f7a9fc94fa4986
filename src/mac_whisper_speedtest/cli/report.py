"""``speedtest report``: a run as one page that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.cli import completion
from mac_whisper_speedtest.cli.output import notify, say
from mac_whisper_speedtest.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mac_whisper_speedtest.results.schema import Run


@click.command("report")
@click.argument("run", default="latest", shell_complete=completion.runs)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Where to write the page.  [default: run-NUMBER.html here, unless it exists]",
)
def command(run: str, output: Path | None) -> None:
    """Write RUN (a number, a tag, a path, a bundle, or "latest") as one HTML file.

    The file makes no network requests: it can be mailed, opened on a phone, printed. Its figures
    are computed from the run's samples, as in `speedtest show`.

    \b
    speedtest report latest -o report.html
    speedtest report nightly.zip -o nightly.html

    Exit codes: 0 written; 2 the request was wrong; 5 the run cannot be read or the page not
    written.
    """
    from mac_whisper_speedtest import files as files_module
    from mac_whisper_speedtest.compare import sources
    from mac_whisper_speedtest.export import files
    from mac_whisper_speedtest.report.html.report import render_report

    if output is not None:
        files.check_path(output)
        if output.suffix.lower() not in {".html", ".htm"}:
            raise UsageError(
                f"cannot write {output}: a report is an HTML page",
                hint="end it in .html; a browser prints it as PDF; for data: speedtest export",
            )
    source = sources.load(run)
    path = output or _new_file(f"run-{source.run.manifest.run}.html")
    data = render_report(source.run, label=source.label).encode()
    files_module.write_bytes(path, data)
    say(f"{path}: {len(data) / 1000:.0f} kB; any browser opens it, without a network")


def _new_file(name: str) -> Path:
    """A file of this name here; raises UsageError if there is one.

    The same number may be another run's, from another machine.
    """
    path = Path(name)
    if path.exists():
        raise UsageError(f"{path} is there already", hint=f"to replace it: -o {path}")
    return path


# ``speedtest export``: runs as JSON, or as tables for other programs.


# As in results/export.py and results/tables.py, which --help does not import.
FORMATS = ("json", "jsonl", "csv", "tsv", "parquet", "md", "html")
TABLES = ("cells", "samples", "utterances")


@click.command("export")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=completion.runs)
@click.option(
    "--format", "-f", "name", type=click.Choice(FORMATS), help="Default: by the ending of -o."
)
@click.option(
    "--table",
    type=click.Choice(TABLES),
    default="cells",
    show_default=True,
    help="Content of a row: a cell, a sample, or a recording with its errors.",
)
@click.option("--text", is_flag=True, help="With --table samples: the transcripts too.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="The file to write.  [default: stdout]"
)
def export(
    runs: tuple[str, ...],
    name: str | None,
    table: str,
    text: bool,
    output: Path | None,
) -> None:
    """Write RUNs for other programs: a number, a path, a tag, a run id, "latest" or a bundle.

    Figures are those of `speedtest show`. json is the whole run as run.json, of several
    runs a list of these; every other format is one table.

    \b
    speedtest export latest -o cells.csv
    speedtest export 3 4 5 --table samples -o samples.parquet
    speedtest export base --format md

    Exit codes: 0 written; 2 the request was wrong; 5 a run cannot be read, or the file cannot be
    written.
    """
    import sys

    from mac_whisper_speedtest.export import files, tables

    if text and table != "samples":
        raise UsageError("--text is for --table samples", hint="add --table samples")
    if name is None:
        if output is None:
            raise UsageError("no format was named", hint="add --format csv, or -o FILE.csv")
        name = files.format_of(output)
    chosen = tables.named(table, text=text)
    files.check_format(name, table)
    if output is not None:
        files.check_path(output)
        files.save(_loaded(runs), output, name, chosen)
        return
    if name == files.PARQUET and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal", hint="add -o FILE.parquet")
    files.send(_loaded(runs), sys.stdout.buffer, name, chosen)


def _loaded(names: tuple[str, ...]) -> Iterator[Run]:
    """The runs, one after the other, each with its figures.

    Raises:
        UsageError: there is no such run, or one is named twice.
        StorageError: it cannot be read.
    """
    from mac_whisper_speedtest.compare import sources

    seen: dict[str, str] = {}
    for name in names:
        run = sources.load(name).run
        same = run.manifest.run_id
        if same in seen:
            raise UsageError(f"{seen[same]} and {name} are the same run", hint="name each run once")
        seen[same] = name
        yield run


# ``speedtest trace``: a run as Perfetto trace or OTLP.


@click.command("trace")
@click.argument("run", default="latest", shell_complete=completion.runs)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Where to write the trace.  [default: run-NUMBER.trace.json here, unless it exists]",
)
@click.option(
    "--otlp",
    "endpoint",
    metavar="ADDRESS",
    help="Send the spans to this OpenTelemetry collector instead, such as http://localhost:4318.",
)
def trace(run: str, output: Path | None, endpoint: str | None) -> None:
    """Export RUN as Perfetto trace or OTLP: rounds, workers, loads, samples, conditions.

    RUN is a run's number, tag or id, a path, a bundle, or "latest". The file is Chrome trace JSON;
    open it at https://ui.perfetto.dev or in chrome://tracing. It holds no transcripts. Nothing is
    sent anywhere without --otlp.

    \b
    speedtest trace
    speedtest trace 42 -o run42.trace.json
    speedtest trace latest --otlp http://localhost:4318
    """
    from mac_whisper_speedtest import files as files_module
    from mac_whisper_speedtest.compare import sources
    from mac_whisper_speedtest.timeline import export as otel
    from mac_whisper_speedtest.timeline import timeline

    if endpoint is not None:
        endpoint = otel.address(endpoint)
    source = sources.load(run)
    found = source.directory
    drawn = timeline.timeline_of(source.run, found.journal().lines if found is not None else None)
    if drawn.synthetic:
        notify(f"speedtest: note: {otel.SYNTHETIC}")
    if endpoint is not None:
        sent = otel.send(drawn, endpoint)
        say(f"{sent} spans of run {drawn.run} sent to {otel.printable_address(endpoint)}")
    if endpoint is None or output is not None:
        path = output or _new_file(f"run-{drawn.run}.trace.json")
        files_module.write_bytes(path, otel.to_json(drawn))
        say(f"written to {path}; open it at https://ui.perfetto.dev")
