"""``speedtest leaderboard``: many machines' runs as one page."""

from __future__ import annotations

from pathlib import Path

import click

from mac_whisper_speedtest.cli.output import notify, say
from mac_whisper_speedtest.errors import ExitCode, UsageError


@click.group("leaderboard")
def command() -> None:
    """Build a leaderboard from bundles of many machines."""


@command.command("build")
@click.argument("sources", nargs=-1, required=True)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("site"),
    show_default=True,
    help="The folder to write; an older leaderboard there is replaced.",
)
@click.option(
    "--download", is_flag=True, help="Download datasets (hf:) that are not on this machine yet."
)
def build(sources: tuple[str, ...], output: Path, download: bool) -> None:
    """Build a site from SOURCES: bundles, run directories, folders of these, or a dataset.

    Every number is computed from the samples in the bundles; their own summaries are ignored.
    The site is a folder of files that needs no server and no network. The same bundles give the
    same bytes.

    hf:ORG/NAME@COMMIT is a dataset on the Hugging Face hub that holds bundles;
    hf:ORG/NAME@COMMIT:FOLDER is one folder of it. Nothing is downloaded without --download.

    \b
    speedtest leaderboard build bundles/ -o site
    speedtest leaderboard build mine.zip theirs.zip latest -o site

    Exit codes: 0 all bundles are on the site; 3 some were refused, the site has the others; 4 all
    were refused, nothing was written; 2 the request was wrong; 5 the site could not be written;
    10 a dataset is not on this machine and was not downloaded.
    """
    from mac_whisper_speedtest.leaderboard import build as leaderboard
    from mac_whisper_speedtest.leaderboard import intake, site

    site.check_target(output)
    found = intake.read_bundles(intake.find_bundles(_local(sources, download=download)))
    for each in found.refused:
        notify(f"refused: {each.name}: {each.reason}")
    if not found.accepted:
        notify("all bundles were refused; nothing was written")
        raise click.exceptions.Exit(ExitCode.ALL_CELLS_FAILED)
    made = leaderboard.build_leaderboard(found.accepted)
    site.write_site(output, site.site_files(made, found))
    off = sum(each.outlier.off for kind in made.classes for each in kind.members)
    rows = [row for board in made.boards for group in board.groups for row in group.rows]
    left_out = sum(len(row.left_out) for row in rows)
    disputed = sum(row.dispute is not None for row in rows)
    say(
        f"{output / 'index.html'}: boards: {len(made.boards)}, bundles: {len(found.accepted)} "
        f"(refused: {len(found.refused)}, given twice: {found.repeated}, off their peers: {off}), "
        f"cells left out: {left_out}, rows disputed: {disputed}, "
        f"kinds of machine: {len(made.classes)}"
    )
    if found.refused:
        raise click.exceptions.Exit(ExitCode.SOME_CELLS_FAILED)


def _local(sources: tuple[str, ...], *, download: bool) -> list[str]:
    """The sources, with every dataset replaced by its bundles.

    Raises:
        UsageError: the name of a dataset is malformed.
        DownloadError: a dataset is not on this machine and was not downloaded.
    """
    from mac_whisper_speedtest.audio import datasets, hub_dataset
    from mac_whisper_speedtest.bundle import signature
    from mac_whisper_speedtest.leaderboard import intake

    found: list[str] = []
    for each in sources:
        if not each.startswith("hf:"):
            found.append(each)
            continue
        dataset = datasets.parse_dataset(each)
        if dataset.n is not None:
            raise UsageError(
                f"{each}: a leaderboard takes all bundles of a dataset", hint="leave out n="
            )
        paths = hub_dataset.fetch_dataset(
            dataset,
            intake.BUNDLE,
            beside=signature.SUFFIX,
            notify=notify,
            allow_download=download,
        )
        found += map(str, paths)
    return found
