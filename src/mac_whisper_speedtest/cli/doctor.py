"""``speedtest doctor``: whether this machine is ready for benchmarking, on one page."""

from __future__ import annotations

import contextlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from mac_whisper_speedtest.cli import completion, options, output
from mac_whisper_speedtest.cli.output import say
from mac_whisper_speedtest.errors import ExitCode, NotMeasuredError
from mac_whisper_speedtest.option import WholeNumber

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mac_whisper_speedtest.cli.documents import DoctorDocument
    from mac_whisper_speedtest.doctor.lines import Checkup
    from mac_whisper_speedtest.report.console import TextConsole
    from mac_whisper_speedtest.results.schema import NoiseInfo


_SCHEMA_VERSION = 1
_WIDE = 10_000  # columns: in a pipe every line stays one line
_IN_SECTION = {
    "backends": "backend ",
    "memory": "memory: ",
    "endings": "ending: ",
    "locks": "lock: ",
}
"""Prefixes of topics that repeat their section's title."""
_TOPIC = 26  # columns of a topic in a narrow terminal
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "unknown": "dim"}


@click.command("doctor")
@options.json_flag
@click.option("--quick", is_flag=True, help="Do not ask backends which accelerators they see.")
@click.option("--online", is_flag=True, help="Also ask whether the hub can be reached.")
@click.pass_context
def command(context: click.Context, as_json: bool, quick: bool, online: bool) -> None:
    """Check that this machine is ready for benchmarking, and name commands that fix it.

    Changes nothing, downloads nothing, and without --online sends nothing.

    Exit codes: 0 ready (perhaps with warnings); 9 not ready: a line is marked fail.
    """
    from mac_whisper_speedtest.doctor.checkup import examine

    checkup = examine(quick=quick, online=online)
    if as_json:
        output.echo_json(_document(checkup))
    else:
        print_checkup(checkup)
    context.exit(ExitCode.OK if checkup.fit else ExitCode.UNFIT)


def _document(checkup: Checkup) -> DoctorDocument:
    return {
        "schema_version": _SCHEMA_VERSION,
        "fit": checkup.fit,
        "lines": [
            {"topic": line.topic, "state": line.state, "seen": line.seen, "next": line.next}
            for line in checkup.lines
        ],
    }


def print_checkup(
    checkup: Checkup,
    console: TextConsole | None = None,
    *,
    words: Mapping[str, str] = MappingProxyType({}),
    verdict: str = "",
) -> None:
    """Print a checkup; in a narrow console, commands have their own lines.

    Args:
        checkup: of this machine.
        console: where; by default stdout, and in a pipe every line stays one line.
        words: state → another word for it.
        verdict: the last line; by default whether the machine is ready.
    """
    from rich.table import Table
    from rich.text import Text

    from mac_whisper_speedtest.report.console import output_console

    console = output_console(console, pipe=_WIDE)
    headings = ["state", "topic", "what", "next"]
    needed = 2 * len(headings) + sum(
        max(len(getattr(line, name)) for line in checkup.lines)
        for name in ("state", "topic", "seen", "next")
    )
    narrow = console.width < needed
    table = Table(box=None, pad_edge=False)
    for heading in headings[:-1] if narrow else headings:
        table.add_column(heading, overflow="fold", no_wrap=heading == "state")
    longest = max(len(line.topic) for line in checkup.lines)
    table.columns[1].width = min(longest, _TOPIC) if narrow else longest
    for section in checkup.sections:
        table.add_row()
        table.add_row("", Text(section.title.upper(), style="bold"))
        for line in section.lines:
            fields = [line.topic, line.seen, line.next]
            if narrow:  # what to type stands below what was found
                topic = line.topic.removeprefix(_IN_SECTION.get(section.title, ""))
                fields = [topic, "\n→ ".join(filter(None, (line.seen, line.next)))]
            word = words.get(line.state, line.state)
            table.add_row(Text(word, style=_STYLES[line.state]), *fields)
    with contextlib.nullcontext() if console.is_terminal else console.capture() as page:
        console.print(table)
        console.print()
        console.print(Text(verdict or _verdict(checkup), style="bold"))
    if page is not None:  # in a pipe, a line ends where its text ends
        say("\n".join(row.rstrip() for row in page.get().splitlines()))


def _verdict(checkup: Checkup) -> str:
    from mac_whisper_speedtest.doctor.lines import Readiness

    counts = [
        f"{number} {word}"
        for state, word in (
            (Readiness.FAIL, "fail"),
            (Readiness.WARN, "warn"),
            (Readiness.UNKNOWN, "not known"),
        )
        if (number := checkup.count(state))
    ]
    verdict = "ready for benchmarking" if checkup.fit else "not ready for benchmarking"
    return f"{verdict}: {', '.join(counts)}" if counts else verdict


# ``speedtest noise``: how far identical measurements differ on this machine.


@click.command("noise", context_settings={"show_default": True})
@click.option(
    "--model", "-m", default="tiny.en", help="Model name.", shell_complete=completion.models
)
@click.option(
    "--backend",
    "-b",
    help="Default: the first that is installed and has its weights.",
    shell_complete=completion.backends,
)
@options.declared("clip", "threads", "managed", "retake", "seed")
@click.option("--quick", is_flag=True, help="6 rounds instead of 20, for a rough estimate.")
@click.option(
    "--rounds",
    type=options.Value(WholeNumber(least=3)),
    show_default="20",
    help="Rounds, of two processes each.",
)
@options.json_flag
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.pass_context
def noise(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    /,
    model: str,
    backend: str | None,
    quick: bool,
    rounds: int | None,
    as_json: bool,
    quiet: bool,
    **asked: Any,
) -> None:
    """Measure one backend against itself: the noise floor of this machine.

    Two identical cells take turns, as two backends do in a run. Whatever difference shows between
    them is noise. The result is kept, and later runs do not rank smaller differences.

    \b
    speedtest noise
    speedtest noise --quick -b whisper.cpp
    """
    import math

    import msgspec

    from mac_whisper_speedtest.cli import progress
    from mac_whisper_speedtest.request import Request
    from mac_whisper_speedtest.run import noise as noise_run
    from mac_whisper_speedtest.run import noise_floor, session
    from mac_whisper_speedtest.run.prepare import backends_of, prepare

    observer = progress.observer(quiet=quiet or as_json, json_logs=False)
    request = Request(
        models=(model,),
        backends=(backend,) if backend else (),
        rounds=rounds or (noise_run.QUICK_ROUNDS if quick else noise_run.ROUNDS),
        # Fewer rounds would show nothing, so a slow machine gets the time that it needs.
        max_time_s=math.inf,
        **{name: value for name, value in asked.items() if value is not None},
    )
    pair = noise_run.duplicate_cell(prepare(request, backends_of(request), notify=observer.notify))
    _, run = session.measure(pair, observer)
    observer.close()
    outcome = run.manifest.outcome
    if outcome is not None and outcome.state == "interrupted":
        ctx.exit(ExitCode.INTERRUPTED)
    found = noise_run.noise_floor(run)
    if found is None:
        failed = next((end for cell in run.cells for end in cell.endings if end.message), None)
        raise NotMeasuredError(
            f"fewer than three rounds ended ok: {failed.message if failed else 'no samples'}",
            hint=f"look at the run: speedtest show {run.manifest.run}",
        )
    info = noise_floor.keep(run, found)
    if as_json:
        output.echo_json(msgspec.to_builtins(info))
    else:
        for line in _lines(info):
            say(line)


def _lines(info: NoiseInfo) -> Iterator[str]:
    yield (
        f"{info.backend} with {info.model} against itself, {info.rounds} rounds: "
        f"ratio {info.ratio:.3f}, {info.verdict}"
    )
    yield f"noise floor            {info.floor:.1%}  identical cells differ by at most this (95 %)"
    yield f"spread of one round    {info.spread:.1%}"
    yield (
        f"smallest difference    {info.smallest_detectable:.1%}  "
        f"that {info.rounds} rounds detect in nine of ten runs"
    )
    for difference, rounds in info.rounds_for.items():
        needed = f"{rounds}" if rounds is not None else "more than practical"
        yield f"rounds for {float(difference):<12.0%}{needed}"
    yield "Later runs on this machine do not rank differences below the noise floor."
