"""``speedtest results bundle``: a run as one file to give away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mac_whisper_speedtest.results.directory import RunDirectory


@click.command("bundle")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to write, or a folder: run-NUMBER.zip in it, one for each run.",
)
@click.option(
    "--without-texts",
    is_flag=True,
    help="Leave out what was said in your own recordings. Nobody can then compute WER again.",
)
def command(runs: tuple[str, ...], output: Path, without_texts: bool) -> None:
    """Write RUN (a number, a tag, an id, a path, or "latest") as a file that others can check.

    It holds everything that figures are computed from, and nothing that names you: no user or host
    name, no path, no token, no serial number, no file names of yours. Transcripts go along as they
    are. docs/bundles.md lists every field.

    \b
    speedtest results bundle latest -o m2-air.zip
    speedtest results bundle 12 13 14 -o bundles/

    Exit codes: 0 written; 2 no such run, or something in it would give away a secret; 5 a run is
    damaged, or a file cannot be written.
    """
    from mac_whisper_speedtest.bundle import write
    from mac_whisper_speedtest.cli import scrubbed
    from mac_whisper_speedtest.errors import UsageError
    from mac_whisper_speedtest.results import directory

    found = list({run.path: run for run in map(directory.find, runs)}.values())
    folder = len(found) > 1 or output.is_dir()
    if folder and output.is_file():
        raise UsageError(
            f"{output} is a file, and {len(found)} runs are {len(found)} bundles",
            hint="name a folder with -o",
        )
    for run in found:
        path = output / f"run-{run.path.name}.zip" if folder else output
        write.write(run, path, texts=not without_texts)
        scrubbed.echo(f"Wrote {path}: run {directory.name_of(run)}, {_size(path)}.")
        _warn_of_texts(run, without_texts=without_texts)


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _warn_of_texts(run: RunDirectory, *, without_texts: bool) -> None:
    """Say so where the user's own words are given away, or where leaving them out costs the WER."""
    import msgspec

    from mac_whisper_speedtest.bundle import redact
    from mac_whisper_speedtest.results import schema as s

    manifest = msgspec.json.decode(run.manifest_path.read_bytes(), type=s.Manifest)
    if not redact.private_clips(manifest):
        return
    if without_texts:
        click.echo("It has no transcripts of your recordings: nobody can compute WER from it.")
    else:
        click.echo(
            "It has what was said in your own recordings, word for word. --without-texts leaves "
            "that out."
        )
