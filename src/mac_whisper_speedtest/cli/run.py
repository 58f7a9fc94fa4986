"""``speedtest run``: parse, measure, print."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mac_whisper_speedtest.cli import options
from mac_whisper_speedtest.errors import ExitCode, UsageError
from mac_whisper_speedtest.printable import shown

if TYPE_CHECKING:
    from mac_whisper_speedtest.results.schema import Run
    from mac_whisper_speedtest.run.select import WeightsNeededError


@click.command("run", cls=options.GroupedCommand)
@click.argument("others", nargs=-1, metavar="")
@options.declared()
@options.results_files
@options.json_flag
@click.option("--quiet", "-q", is_flag=True, help="No progress; only the table.")
@click.option("--json-logs", is_flag=True, help="Progress as JSON lines on stderr.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    output: tuple[Path, ...],
    as_json: bool,
    quiet: bool,
    json_logs: bool,
    **asked: Any,
) -> None:
    """Measure backends on one model and one recording, and print one ranked table.

    Every cell (backend × model × clip) is measured in fresh processes, round by round in shuffled
    order, and ranked among those that did equal work. Downloads only the built-in clips at their
    first use, from your package index, and what --audio, --download, --install, --pull and --repair
    ask for.

    \b
    speedtest run --model tiny.en
    speedtest run --model tiny.en -b faster-whisper -b whisper.cpp --clip cities --budget 5m
    speedtest run --model tiny.en --manifest talks.jsonl
    speedtest run --model tiny.en --durations 2,5,10,20,30,31,60
    speedtest run --model tiny.en -b faster-whisper@1.1.1 -b faster-whisper@1.2.1
    speedtest run --model tiny.en -b whisper.cpp -b whisper.cpp:q5_1 --contract beam5
    speedtest run --model small --audio talk.mp3 --language en -o talk.json
    speedtest run --model tiny.en --tag before-update --resume
    """
    from mac_whisper_speedtest.cli import progress
    from mac_whisper_speedtest.cli.output import echo_document
    from mac_whisper_speedtest.export import files
    from mac_whisper_speedtest.report import table
    from mac_whisper_speedtest.results import directory
    from mac_whisper_speedtest.run import session
    from mac_whisper_speedtest.run.select import WeightsNeededError

    if others := asked.pop("others"):
        several = "several recordings: --audio 'FOLDER/*.mp3', in quotes, or --audio FOLDER"
        raise UsageError(
            f"run takes options only, not {shown(others[0])}",
            hint=several if asked["audio"] else "see speedtest run --help",
        )
    request = options.request_of(asked)
    for path in output:
        files.check_writable(path)
    observer = progress.observer(quiet=quiet or as_json, json_logs=json_logs)
    try:
        run_directory, run = session.perform(request, observer)
    except WeightsNeededError as error:
        if quiet or as_json or json_logs or not _fetch(error):
            raise
        run_directory, run = session.perform(replace(request, pull=True), observer)
    observer.close()
    for path in output:
        files.write_export(run, path)
    if as_json:
        echo_document(files.to_json(run))
    else:
        table.show_run(run, saved_as=directory.name_of(run_directory))
    ctx.exit(exit_code(run, explicit=bool(request.backends)))


def _fetch(error: WeightsNeededError) -> bool:
    """Ask at a terminal whether to fetch the missing weights; elsewhere do not."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm(f"{error.message}. Fetch now?", default=False, err=True)


def exit_code(run: Run, *, explicit: bool) -> ExitCode:
    """What a run's outcome tells the shell.

    Args:
        run: the sealed run.
        explicit: whether backends were named. If not, a missing backend is no failure.
    """
    if run.manifest.outcome is not None and run.manifest.outcome.state == "interrupted":
        return ExitCode.INTERRUPTED
    counted = [cell.status for cell in run.cells if explicit or cell.status != "unavailable"]
    good = counted.count("ok")
    if good == 0:
        return ExitCode.ALL_CELLS_FAILED
    return ExitCode.OK if good == len(counted) else ExitCode.SOME_CELLS_FAILED
