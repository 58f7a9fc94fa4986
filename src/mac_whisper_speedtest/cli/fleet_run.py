"""``speedtest fleet run`` and ``collect``: measure on all machines, and show what they found."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mac_whisper_speedtest.cli import fleet_progress, options
from mac_whisper_speedtest.cli.output import RewrittenLine, echo, notify, say
from mac_whisper_speedtest.errors import ExitCode, UsageError
from mac_whisper_speedtest.option import Seconds

if TYPE_CHECKING:
    from mac_whisper_speedtest.fleet.job import Job
    from mac_whisper_speedtest.fleet.ledger import Ledger
    from mac_whisper_speedtest.fleet.policy import FleetObserver
    from mac_whisper_speedtest.fleet.settings import FleetSettings

_LONGEST_WAIT_S = 30.0
"""Between two attempts to reach a scheduler that is gone."""


@click.command("run", cls=options.GroupedCommand)
@options.fleet_jobs
@options.fleet_option(
    "--deadline",
    type=options.Value(Seconds()),
    help="The longest that a job may take on its node. Without it, the node estimates that.",
)
@options.fleet_option(
    "--lost-after",
    type=options.Value(Seconds()),
    default="5m",
    show_default=True,
    help="How long a node may be away before another one measures its job, too.",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress; only the tables.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    *,
    on: tuple[str, ...],
    repeat: int,
    campaign: str,
    to: str,
    deadline: float | None,
    lost_after: float,
    quiet: bool,
    **asked: Any,
) -> None:
    """Have the same request measured on machines of the fleet, and show the results.

    It takes the options of speedtest run. Each --on is one job: any node that meets all of its
    constraints measures it. Without --on, every node that is connected now measures once. Bundles
    go into the storage --to, and from there into the runs of this machine, checked and recomputed.

    Ctrl-C and a crash lose nothing: the nodes go on, and the same command again does what is
    left, failed jobs included. When all is done, it only shows the results; --campaign makes
    the same request new work.

    \b
    speedtest fleet run --model small --to /Volumes/bench
    speedtest fleet run --model small --on 'chip=~M[34]*' --on 'memory>=16G,os=macos>=15' \\
        --repeat 3 --to s3://bench/w48 --campaign w48

    Exit codes: 0 every job is done; 2 the request was wrong, or the scheduler refuses this machine;
    3 some jobs failed, or a bundle was refused; 4 no job is done; 5 the ledger or storage cannot
    be written; 10 the scheduler cannot be reached; 130 Ctrl-C.
    """
    from mac_whisper_speedtest.fleet import job, labels
    from mac_whisper_speedtest.fleet import settings as fleet_settings
    from mac_whisper_speedtest.fleet.ledger import JobState

    fleet_settings.require_packages()
    settings = fleet_settings.load()
    request = options.request_of(asked)
    to = shared_address(to)
    observer = fleet_progress.observer(quiet=quiet)

    def jobs_of(nodes: Collection[str]) -> list[Job]:
        constraints = on or [f"node={each}" for each in sorted(nodes)]
        return job.jobs_of(request, on=constraints, repeat=repeat, campaign=campaign, to=to)

    labels.parse(on)  # before anything else is done
    jobs_of(())
    with ledger_of(settings, alone=True) as ledger:
        try:
            jobs = asyncio.run(
                _measured(
                    settings,
                    ledger,
                    jobs_of,
                    observer,
                    deadline_s=deadline,
                    lost_after_s=lost_after,
                )
            )
        except KeyboardInterrupt:
            notify(
                "The nodes finish what they have. The same command again does what is left; "
                "speedtest fleet status shows how far all is."
            )
            raise
        finally:
            observer.close()
        asked_for = {each.id for each in jobs}
        entries = [each for each in ledger.jobs() if each.id in asked_for]
        failed = [each for each in entries if each.state is JobState.FAILED]
        for each in failed:
            notify(f"failed: {fleet_progress.job_title(ledger.job(each.id))}: {each.reason}")
        found = collected(settings, ledger, [to], asked_for)
    if len(failed) == len(entries):
        ctx.exit(ExitCode.ALL_CELLS_FAILED)
    ctx.exit(ExitCode.OK if found and not failed else ExitCode.SOME_CELLS_FAILED)


async def _measured(
    settings: FleetSettings,
    ledger: Ledger,
    jobs_of: Callable[[Collection[str]], Sequence[Job]],
    observer: FleetObserver,
    *,
    deadline_s: float | None,
    lost_after_s: float,
) -> Sequence[Job]:
    """Have all jobs done, whatever becomes of the scheduler meanwhile; returns them."""
    from mac_whisper_speedtest.fleet import coordinator, network

    jobs: Sequence[Job] = ()
    wait_s = 1.0
    while True:
        try:
            async with network.connect(settings) as client:
                if not jobs:
                    jobs = _first_jobs(ledger, jobs_of, await network.nodes(client))
                    for each in jobs:
                        ledger.retry(each.id)
                wait_s = 1.0
                await coordinator.run_jobs(
                    ledger,
                    client,
                    jobs,
                    observer,
                    lost_after_s=lost_after_s,
                    deadline_s=deadline_s,
                )
                return jobs
        except (coordinator.SchedulerLostError, network.FleetUnreachableError) as error:
            task = asyncio.current_task()
            if not jobs or (task is not None and task.cancelling()):  # Ctrl-C cuts connections too
                raise
            observer.notify(f"{error.message}; trying again. The nodes go on meanwhile.")
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def _first_jobs(
    ledger: Ledger, jobs_of: Callable[[Collection[str]], Sequence[Job]], nodes: Iterable[Any]
) -> Sequence[Job]:
    """The jobs of this request: without constraints, of the nodes here and of those begun with."""
    here = {each.name for each in nodes}
    begun = {each.id for each in ledger.jobs()}
    absent = {each.name for each in ledger.nodes()} - here
    here |= {each for each in absent if begun & {job.id for job in jobs_of([each])}}
    jobs = jobs_of(here)
    if not jobs:
        raise UsageError(
            "no node is connected",
            hint="speedtest fleet join on a machine, or name what to wait for with --on",
        )
    return jobs


@click.command("collect")
@click.option(
    "--to", "addresses", multiple=True, help="Only this storage; else all that were used."
)
@click.pass_context
def collect(ctx: click.Context, addresses: tuple[str, ...]) -> None:
    """Import every bundle in storage into the runs of this machine, and show the results.

    Each bundle is validated and every figure recomputed. A run that is here already is one run. A
    bundle that is refused is named, and stays where it is.

    \b
    speedtest fleet collect
    speedtest fleet collect --to s3://bench/w48

    Exit codes: 0 all bundles are runs now; 2 the request was wrong; 3 some were refused or could
    not be read; 4 there is none; 5 storage or the runs cannot be read or written.
    """
    from mac_whisper_speedtest.fleet import settings as fleet_settings

    fleet_settings.require_packages()
    settings = fleet_settings.load()
    with ledger_of(settings) as ledger:
        known = {ledger.job(each.id).to: None for each in ledger.jobs()}
        where = [*map(shared_address, addresses)] or list(known)
        if not where:
            raise UsageError("nothing was measured yet", hint="speedtest fleet run --help")
        good = collected(settings, ledger, where, None)
    if good is None:
        ctx.exit(ExitCode.ALL_CELLS_FAILED)
    ctx.exit(ExitCode.OK if good else ExitCode.SOME_CELLS_FAILED)


def collected(
    settings: FleetSettings, ledger: Ledger, addresses: Iterable[str], jobs: Collection[str] | None
) -> bool | None:
    """Import bundles and print what came of them; whether all were good, None without any.

    Args:
        settings: of this machine.
        ledger: accounts for the bundles.
        addresses: of the storages.
        jobs: ids of those whose bundles are meant; None: all.
    """
    from mac_whisper_speedtest.fleet import collect as collecting
    from mac_whisper_speedtest.fleet.storage import Storage

    line = RewrittenLine()
    found, refused = [], 0

    def progress(number: int, total: int) -> None:
        line.progress(f"checking bundle {number} of {total}", done=number == total)

    for address in addresses:
        names = [each for each in Storage(address).names() if jobs is None or each.id in jobs]
        ledger.stored(names)
        found.append(collecting.collect(address, names, settings.folder, progress))
        here = {*map(str, names)}
        gone = [
            each.name
            for each in ledger.bundles()
            if each.name not in here
            and (jobs is None or each.job in jobs)
            and ledger.job(each.job).to == address
        ]
        if gone:
            refused += len(gone)
            notify(
                f"{len(gone)} bundles that were in {address} are not there now, such as {gone[0]}. "
                "Is it mounted? What is lost is measured again with another --campaign."
            )
    for name, why in ((name, why) for each in found for name, why in each.refused.items()):
        notify(f"refused: {name}: {why}")
    paths = [path for each in found for path in each.bundles]
    extra = sum(each.late and (jobs is None or each.job in jobs) for each in ledger.bundles())
    new = sum(each.new for each in found)
    refused += sum(len(each.refused) for each in found)
    if paths:
        _show_classes(paths)
    are = "bundle is a run" if len(paths) == 1 else "bundles are runs"
    say(f"{len(paths)} {are} of this machine ({new} new), {refused} are not.")
    if extra:
        say(f"{extra} came late: further measurements of jobs that were done by then.")
    if paths:
        folders = " ".join(dict.fromkeys(f"'{each.folder}'" for each in found if each.bundles))
        echo(f"A page of all of it: speedtest leaderboard build {folders} -o site")
    return not refused if paths or refused else None


def _show_classes(paths: Sequence[Path]) -> None:
    """One table for each hardware class and workload, as a leaderboard has them."""
    from mac_whisper_speedtest.leaderboard import build, intake, sections
    from mac_whisper_speedtest.report import terminal
    from mac_whisper_speedtest.report.console import output_console

    console = output_console()
    made = build.build_leaderboard(intake.read_bundles(paths).accepted)
    off = {each.name for kind in made.classes for each in kind.members if each.outlier.off}
    for kind in made.classes:
        count = len(kind.members)
        console.print()
        console.print(f"{kind.hardware} ({count} bundle{'s' if count > 1 else ''})", style="bold")
        for board in made.boards:
            if board.workload.hardware == kind.hardware:
                table = sections.board_table(board, off)
                for part in terminal.most_important(table, console, least=5).parts:
                    console.print(part)
                if notes := list(sections.board_notes(board)):
                    console.print(terminal.lines(notes, console, indent=""))


# What the commands share


def shared_address(text: str) -> str:
    """The address of a storage; a folder is made here, and named so that every machine finds it."""
    from mac_whisper_speedtest import files

    if "://" in text:
        return text
    path = Path(text).expanduser().absolute()
    with files.storage_errors(f"create {path}"):
        path.mkdir(parents=True, exist_ok=True)
    return str(path)


@contextlib.contextmanager
def ledger_of(settings: FleetSettings, *, alone: bool = False) -> Iterator[Ledger]:
    """This machine's ledger; ``alone``, if no other process may hand out its jobs meanwhile."""
    from mac_whisper_speedtest import files
    from mac_whisper_speedtest.fleet.ledger import Ledger

    path = settings.folder / "ledger.sqlite"
    lock = files.locked(path.with_suffix(".lock"), wait=False) if alone else None
    with lock or contextlib.nullcontext(enter_result=True) as held:
        if not held:
            raise UsageError(
                "another speedtest fleet run is at work with this ledger",
                hint="wait for it, or stop it: what it began goes on. speedtest fleet status",
            )
        ledger = Ledger(path)
        try:
            yield ledger
        finally:
            ledger.close()
