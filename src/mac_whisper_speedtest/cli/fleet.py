"""``speedtest fleet``: one request on many machines."""

from __future__ import annotations

import click

from mac_whisper_speedtest.cli import fleet_run, fleet_setup, fleet_status


@click.group("fleet")
def command() -> None:
    """Measure on many machines of yours, each quiet and alone, and collect the bundles.

    One machine makes the certificates (init) and runs the scheduler (serve), those that measure
    join, and run sends them the same request. Anyone who holds a certificate of a fleet can run
    code on every machine of it: join machines of your own only. Others hand in bundles instead
    (speedtest results bundle), which are recomputed and never trusted.
    """


for _each in (
    fleet_setup.init,
    fleet_setup.serve,
    fleet_setup.join,
    fleet_run.run,
    fleet_status.status,
    fleet_status.drain,
    fleet_run.collect,
    fleet_setup.emit,
):
    command.add_command(_each)
