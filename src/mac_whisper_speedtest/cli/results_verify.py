"""``speedtest results verify``: are the files what was written, the figures what comes of them?"""

from __future__ import annotations

import click

from mac_whisper_speedtest.cli import scrubbed
from mac_whisper_speedtest.errors import ExitCode

_SCHEMA_VERSION = 1


@click.command("verify")
@click.argument("runs", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.pass_context
def command(ctx: click.Context, runs: tuple[str, ...], as_json: bool) -> None:
    """Compute digests and figures of RUNS (all, if none is named) again; say what differs.

    A RUN is a number, a tag, a run id, a path, or "latest". Nothing is written. Digests show damage
    and careless edits; they are no signature.

    \b
    speedtest results verify
    speedtest results verify latest 12

    Exit codes: 0 nothing is wrong; 2 the request was wrong; 5 something is wrong, or cannot be
    read.
    """
    from mac_whisper_speedtest.results import directory
    from mac_whisper_speedtest.store import verify

    chosen = [directory.find(name) for name in runs] if runs else directory.every()
    documents = []
    wrong = 0
    for run in chosen:
        found = verify.examine(run)
        wrong += bool(found.problems)
        name = directory.name_of(run)
        if as_json:
            document = {"run": name, "problems": found.problems, "remarks": found.remarks}
            documents.append(document)
            continue
        scrubbed.echo(f"run {name}: {'WRONG' if found.problems else 'good'}")
        for problem in found.problems:
            scrubbed.echo(f"  wrong: {problem}")
        for remark in found.remarks:
            scrubbed.echo(f"  note: {remark}")
    if as_json:
        scrubbed.echo_json({"schema_version": _SCHEMA_VERSION, "runs": documents})
    else:
        click.echo(f"{len(chosen) - wrong} of {len(chosen)} runs are good")
    ctx.exit(ExitCode.STORAGE if wrong else ExitCode.OK)
