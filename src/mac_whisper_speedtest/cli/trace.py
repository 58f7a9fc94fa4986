"""``speedtest trace``: a run as a timeline, for Perfetto or for a collector."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("trace")
@click.argument("run", default="latest")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Where to write the trace.  [default: run-NUMBER.trace.json here, if there is none yet]",
)
@click.option(
    "--otlp",
    "endpoint",
    metavar="ADDRESS",
    help="Send the spans to this OpenTelemetry collector instead, such as http://localhost:4318.",
)
def command(run: str, output: Path | None, endpoint: str | None) -> None:
    """Write RUN as a timeline: rounds, workers, loads, samples, and what happened meanwhile.

    RUN is a run's number, tag or id, a path, a bundle, or "latest". The file is Chrome trace JSON;
    open it at https://ui.perfetto.dev or in chrome://tracing. It holds no transcripts. Nothing is
    sent anywhere without --otlp.

    \b
    speedtest trace
    speedtest trace 42 -o run42.trace.json
    speedtest trace latest --otlp http://localhost:4318
    """
    from mac_whisper_speedtest import files
    from mac_whisper_speedtest.compare import sources
    from mac_whisper_speedtest.errors import UsageError
    from mac_whisper_speedtest.results import journal
    from mac_whisper_speedtest.timeline import export, otel, timeline

    if endpoint is not None:
        endpoint = otel.address(endpoint)
    source = sources.load(run)
    found = source.directory
    drawn = timeline.of(
        source.run, journal.read_timed(found.journal_path) if found is not None else None
    )
    if drawn.synthetic:
        click.echo(f"speedtest: note: {export.SYNTHETIC}", err=True)
    if endpoint is not None:
        sent = otel.send(drawn, endpoint)
        click.echo(f"{sent} spans of run {drawn.run} sent to {otel.shown(endpoint)}")
    if endpoint is None or output is not None:
        path = output or Path(f"run-{drawn.run}.trace.json")
        if output is None and path.exists():
            # The same number may be another run's, from another machine.
            raise UsageError(f"{path} is there already", hint=f"to replace it: -o {path}")
        files.write_bytes(path, export.to_json(drawn))
        click.echo(f"written to {path}; open it at https://ui.perfetto.dev")
