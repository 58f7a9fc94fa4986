"""``speedtest fleet status`` and ``drain``: what the nodes do, and who gets no more jobs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mac_whisper_speedtest.cli import fleet_progress, options
from mac_whisper_speedtest.cli.fleet_run import ledger_of
from mac_whisper_speedtest.cli.output import echo_json, notify, say
from mac_whisper_speedtest.errors import UsageError, nearest_names

if TYPE_CHECKING:
    from mac_whisper_speedtest.fleet.ledger import AttemptEntry, JobEntry, Ledger, NodeEntry
    from mac_whisper_speedtest.fleet.settings import FleetSettings

_SCHEMA_VERSION = 1
_NODE_HEADINGS = ("node", "state", "chip", "memory", "os", "power", "backends", "models")
_LEAST = 4
_MOST_JOBS = 20
"""Jobs that are listed one by one; ``--json`` has all."""


@click.command("status")
@options.json_flag
def status(as_json: bool) -> None:
    """Show the nodes with their labels, the jobs, and who waits for what.

    Without a scheduler it shows what this machine's ledger knows, and says so.

    \b
    speedtest fleet status
    speedtest fleet status --json

    Exit codes: 0 shown; 2 this machine belongs to no fleet, or the scheduler refuses it; 5 the
    ledger cannot be read.
    """
    from mac_whisper_speedtest.fleet import policy
    from mac_whisper_speedtest.fleet import settings as fleet_settings
    from mac_whisper_speedtest.fleet.ledger import JobState

    fleet_settings.require_packages()
    from mac_whisper_speedtest.fleet import certificates

    settings = fleet_settings.load()
    with ledger_of(settings) as ledger:
        connected, unreachable = _connected(settings)
        if not unreachable:
            ledger.see(connected)
        waits = policy.waiting(ledger, connected, ledger.jobs(JobState.QUEUED))
        if as_json:
            echo_json(
                {
                    "schema_version": _SCHEMA_VERSION,
                    "scheduler": settings.scheduler,
                    "unreachable": unreachable,
                    "nodes": [
                        {**asdict(each), "connected": each.name in connected}
                        for each in ledger.nodes()
                    ],
                    "jobs": [_job_document(ledger, each) for each in ledger.jobs()],
                    "attempts": [asdict(each) for each in ledger.attempts()],
                    "bundles": [asdict(each) for each in ledger.bundles()],
                    "waits": waits,
                }
            )
            return
        for warning in certificates.ending(settings):
            notify(warning)
        if unreachable:
            _say(unreachable, "This is what the ledger of this machine knows.")
        else:
            many = "node is" if len(connected) == 1 else "nodes are"
            _say(f"{len(connected)} {many} connected to {settings.scheduler}")
        _show_nodes(ledger, connected)
        _show_jobs(ledger)
        _say(*waits)


def _say(*texts: str, indent: str = "") -> None:
    """Print sentences, wrapped at words."""
    from mac_whisper_speedtest.report import terminal
    from mac_whisper_speedtest.report.console import output_console

    console = output_console()
    for each in texts:
        console.print(terminal.lines([each], console, indent=indent))


def _connected(settings: FleetSettings) -> tuple[Mapping[str, Mapping[str, Any]], str]:
    """The labels of the connected nodes; else why they are not known."""
    from mac_whisper_speedtest.fleet import network

    async def ask() -> dict[str, Mapping[str, Any]]:
        async with network.connect(settings) as client:
            return {each.name: each.labels for each in await network.nodes(client)}

    try:
        return asyncio.run(ask()), ""
    except network.FleetUnreachableError as error:
        return {}, error.message
    except OSError as error:
        return {}, f"the scheduler {settings.scheduler} does not answer: {error}"


def _job_document(ledger: Ledger, entry: JobEntry) -> dict[str, Any]:
    job = ledger.job(entry.id)
    return {**asdict(entry), "on": job.on, "to": job.to, "request": job.request}


def _show_nodes(ledger: Ledger, connected: Iterable[str]) -> None:
    from mac_whisper_speedtest.fleet import labels, policy
    from mac_whisper_speedtest.report.terminal import show_list

    leases = {each.node: each for each in ledger.attempts(ended=False)}
    resting, now = ledger.resting(), time.time()

    def state(node: NodeEntry) -> str:
        words = ["drained"] if node.drained else []
        if node.name not in connected:
            words.append(f"seen {policy.ago(now, node.seen_at)}")
        if node.name in leases:
            words.append(_lease_text(leases[node.name], now))
        elif node.name in resting:
            words.append(f"not ready, again in {policy.length(resting[node.name] - now)}")
        return ", ".join(words) or "idle"

    def label(node: NodeEntry, key: str) -> str:
        known = policy.labels_of(node.name, node.labels).known
        if key == "os":
            return f"{known.get('os', '?')} {known.get('version', '')}".strip()
        return labels.value_text(key, known[key]) if key in known else "?"

    rows = [
        (each.name, state(each), *(label(each, key) for key in _NODE_HEADINGS[2:]))
        for each in ledger.nodes()
    ]
    if rows:
        show_list(_NODE_HEADINGS, rows, least=_LEAST, more="speedtest fleet status --json")
    else:
        say("no node has joined yet: speedtest fleet join, on each machine")


def _lease_text(lease: AttemptEntry, now: float) -> str:
    from mac_whisper_speedtest.fleet import policy

    if lease.away_since is not None:
        return f"left with a job {policy.ago(now, lease.away_since)}"
    return f"measures, for {policy.length(now - lease.leased_at)}"


def _show_jobs(ledger: Ledger) -> None:
    from mac_whisper_speedtest.fleet.ledger import JobState

    entries = ledger.jobs()
    counts = Counter(each.state for each in entries)
    bundles = ledger.bundles()
    late = sum(each.late for each in bundles)
    extra = f"; {late} bundles came late, as further measurements of a job" if late else ""
    states = ", ".join(f"{counts[each]} {each}" for each in JobState)
    _say(f"Jobs: {states}{extra}")
    nodes = {each.job: f" to {each.node}" for each in ledger.attempts(ended=False)}
    shown = [each for each in entries if each.state is not JobState.DONE]
    for each in shown[:_MOST_JOBS]:
        why = f": {each.reason}" if each.reason else ""
        title = fleet_progress.job_title(ledger.job(each.id))
        _say(f"{each.state}{nodes.get(each.id, '')}: {title}{why}", indent="  ")
    if len(shown) > _MOST_JOBS:
        _say(f"and {len(shown) - _MOST_JOBS} more: speedtest fleet status --json", indent="  ")


@click.command("drain")
@click.argument("node")
@click.option("--undo", is_flag=True, help="Give it jobs again.")
def drain(node: str, undo: bool) -> None:
    """Give NODE no further job. What it measures now is finished, and counts.

    \b
    speedtest fleet drain mini-m4
    speedtest fleet drain mini-m4 --undo

    Exit codes: 0 done; 2 there is no such node; 5 the ledger cannot be written.
    """
    from mac_whisper_speedtest.fleet import settings as fleet_settings

    fleet_settings.require_packages()
    with ledger_of(fleet_settings.load()) as ledger:
        if not ledger.drain(node, undo=undo):
            hint = nearest_names(
                node, [each.name for each in ledger.nodes()], listed_by="speedtest fleet status"
            )
            raise UsageError(f"no node {node!r} has joined", hint=hint)
    say(f"{node} gets jobs again." if undo else f"{node} gets no further job.")
