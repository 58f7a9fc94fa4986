"""``speedtest report``: a run as one page that needs no network."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("run", default="latest")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Where to write the page.  [default: run-NUMBER.html here, if there is none yet]",
)
def command(run: str, output: Path | None) -> None:
    """Write RUN (a number, a tag, a path, a bundle, or "latest") as one HTML file.

    The file needs no network and asks for nothing: it can be mailed, opened on a phone, printed.
    Every figure in it is computed again from the run's samples.

    \b
    speedtest report latest -o report.html
    speedtest report nightly.zip -o nightly.html

    Exit codes: 0 written; 2 the request was wrong; 5 the run cannot be read or the page not
    written.
    """
    from mac_whisper_speedtest import files
    from mac_whisper_speedtest.compare import sources
    from mac_whisper_speedtest.errors import UsageError
    from mac_whisper_speedtest.report.html.report import report

    if output is not None and output.is_dir():
        raise UsageError(f"cannot write {output}: it is a folder", hint="name a file in it")
    source = sources.load(run)
    path = output or Path(f"run-{source.run.manifest.run}.html")
    if output is None and path.exists():
        # The same number may be another run's, from another machine.
        raise UsageError(f"{path} is there already", hint=f"to replace it: -o {path}")
    data = report(source.run, label=source.label).encode()
    files.write_bytes(path, data)
    click.echo(f"{path}: {len(data) / 1000:.0f} kB; any browser opens it, without a network")
