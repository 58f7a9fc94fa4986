"""``speedtest show``: a run again, from its journal if need be."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click


@click.command("show")
@click.argument("run", default="latest")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Also write the results here: .json, .jsonl, .csv, .tsv, .parquet, .md or .html.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def command(run: str, output: tuple[Path, ...], as_json: bool) -> None:
    """Show RUN (a number, a path, a tag, a bundle, or "latest") as a table.

    Every figure is computed again from the run's journal, so this also works for a run whose tool
    was killed; such a run is sealed on the way.
    """
    from mac_whisper_speedtest.compare import sources
    from mac_whisper_speedtest.errors import StorageError
    from mac_whisper_speedtest.export import files
    from mac_whisper_speedtest.report import table
    from mac_whisper_speedtest.results import directory

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
        files.write(replayed, path)
    if as_json:
        click.echo(files.to_json(replayed), nl=False)
    else:
        table.show(replayed, saved_as=directory.name_of(found) if found is not None else run)
