"""``speedtest selfcheck``: whether what this tool measures on this machine is right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mac_whisper_speedtest.cli import completion, options, output
from mac_whisper_speedtest.errors import ExitCode

if TYPE_CHECKING:
    from mac_whisper_speedtest.doctor.lines import Checkup
    from mac_whisper_speedtest.selfcheck.kit import Kit

_SCHEMA_VERSION = 1
_WORDS = {"ok": "PASS", "fail": "FAIL", "unknown": "NOT KNOWN"}


@click.group("selfcheck", invoke_without_command=True)
@click.option("--gpu", is_flag=True, help="Fail if the GPU cannot be used.")
@click.option("--locks", is_flag=True, help="Check at the package index that each lock installs.")
@click.option(
    "--output",
    "-o",
    "kit_file",
    type=click.Path(path_type=Path),
    help="Also write the measurements to a file without names, to send.",
)
@options.json_flag
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.pass_context
def command(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    /,
    gpu: bool,
    locks: bool,
    kit_file: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check that what this tool measures on this machine is right.

    Does work of known size and checks what the tool measures of it: processor time, memory,
    endings, energy, every installed backend on every device. Takes at most ten minutes. Nothing is
    changed, downloaded or (without --locks) sent. Close other programs first. After Ctrl-C, the
    results so far are shown and written.

    \b
    speedtest selfcheck -o kit.zip
    speedtest selfcheck --gpu -o kit.zip
    speedtest selfcheck show kit.zip

    Exit codes: 0 nothing fails (some may be not known); 2 the request was wrong; 5 the kit could
    not be written; 9 a line is marked FAIL; 130 interrupted.
    """
    if ctx.invoked_subcommand is not None:
        return
    from mac_whisper_speedtest.cli import progress
    from mac_whisper_speedtest.selfcheck import checks, kit

    if kit_file is not None:
        kit.check_writable(kit_file)
    observer = progress.observer(quiet=False, json_logs=False)
    notify = (lambda _: None) if quiet or as_json else observer.notify
    found = checks.perform(notify, gpu=gpu, locks=locks)
    code = _show(found, as_json=as_json)
    if kit_file is not None:  # afterwards: a full disk must not cost the page too
        kit.write_kit(found, kit_file)
    ctx.exit(code)


@command.command("show")
@click.argument("kit", type=click.Path(path_type=Path), shell_complete=completion.files)
@options.json_flag
@click.pass_context
def show(ctx: click.Context, kit: Path, as_json: bool) -> None:
    """Judge the measurements in KIT again, by the rules of this release.

    Exit codes: as of selfcheck; 2 the file is no kit.
    """
    from mac_whisper_speedtest.selfcheck.kit import read_kit

    ctx.exit(_show(read_kit(kit), as_json=as_json))


def _show(kit: Kit, *, as_json: bool) -> ExitCode:
    """Print the page or the document; the exit code that it means."""
    from mac_whisper_speedtest.cli.doctor import print_checkup
    from mac_whisper_speedtest.selfcheck.checks import judged

    checkup = judged(kit)
    if as_json:
        output.echo_json(_document(kit, checkup))
    else:
        print_checkup(checkup, words=_WORDS, verdict=_verdict(kit, checkup))
    if kit.interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if checkup.fit else ExitCode.UNFIT


def _document(kit: Kit, checkup: Checkup) -> dict[str, Any]:
    return {
        "schema_version": _SCHEMA_VERSION,
        "passed": checkup.fit,
        "measured_at": kit.measured_at,
        "tool": kit.tool,
        "lines": [
            {
                "section": section.title,
                "topic": line.topic,
                "verdict": _WORDS[line.state],
                "seen": line.seen,
                "next": line.next,
            }
            for section in checkup.sections
            for line in section.lines
        ],
    }


def _verdict(kit: Kit, checkup: Checkup) -> str:
    from mac_whisper_speedtest.doctor.lines import Readiness

    failed, open_ = checkup.count(Readiness.FAIL), checkup.count(Readiness.UNKNOWN)
    counts = f"{len(checkup.lines)} lines, {failed} failed, {open_} not known"
    state = "passed" if checkup.fit else "failed"
    return f"{'interrupted' if kit.interrupted and checkup.fit else state}: {counts}"
