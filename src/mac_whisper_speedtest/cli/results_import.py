"""``speedtest results import``: bundles of other machines among one's own runs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("import")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
def command(files: tuple[Path, ...]) -> None:
    """Check the bundle FILE, compute its figures again, and give it the next number of a run.

    Nothing in a bundle is believed: what is damaged, changed or cannot have been measured is
    refused with a reason. The same bundle twice is one run.

    \b
    speedtest results import m2-air.zip
    speedtest results import bundles/*.zip

    Exit codes: 0 all are there; 2 a file was refused (the others are imported); 5 a file cannot be
    read, or a run cannot be written.
    """
    from mac_whisper_speedtest.bundle import read
    from mac_whisper_speedtest.cli import scrubbed
    from mac_whisper_speedtest.errors import UsageError
    from mac_whisper_speedtest.results import directory

    refused: UsageError | None = None
    for path in files:
        try:
            done = read.bring(path)
        except UsageError as error:
            if len(files) == 1:
                raise
            click.echo(f"speedtest: error: {error.message}", err=True)
            refused = refused or error
            continue
        name = directory.name_of(done.run)
        scrubbed.echo(f"{path} is run {name}." if done.new else f"{path} is run {name} already.")
    if refused is not None:
        raise UsageError("not every file was imported", hint=refused.hint)
