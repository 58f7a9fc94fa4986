"""``speedtest fleet init``, ``serve`` and ``join``: how machines become a fleet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.cli.output import echo, notify
from mac_whisper_speedtest.errors import UsageError

if TYPE_CHECKING:
    from mac_whisper_speedtest.fleet.settings import FleetSettings


@click.command("init")
@click.argument("address", required=False)
@click.option("--node", "names", multiple=True, metavar="NAME", help="A machine to add.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder for the packages of the nodes (here, if it is not given).",
)
@click.option("--renew", is_flag=True, help="New certificates for this machine.")
def init(address: str | None, names: tuple[str, ...], output: Path, renew: bool) -> None:
    """Make a fleet whose scheduler listens on ADDRESS, an address of this machine.

    The fleet gets an authority of its own, whose key stays here, and a certificate for each part.
    --node writes a package, fleet-NAME.zip: copy it to that machine by a way that you trust, give
    it to speedtest fleet join --from, and delete it. NAME is what others will see of that machine.

    Whoever has such a package can run code on every machine of the fleet. A certificate ends after
    two years and cannot be withdrawn earlier: if one is lost, remove the fleet's folder everywhere
    and begin a new fleet.

    \b
    speedtest fleet init 10.0.0.5 --node mini-m4 --node studio
    speedtest fleet init --node air-m2
    speedtest fleet init --renew

    Exit codes: 0 done; 2 the request was wrong, or there is such a fleet or package already; 5 a
    file cannot be written.
    """
    from mac_whisper_speedtest.fleet import settings as fleet_settings

    fleet_settings.require_packages()
    from mac_whisper_speedtest.fleet import certificates

    if not (address or names or renew):
        raise UsageError(
            "nothing was asked for", hint="speedtest fleet init ADDRESS, --node NAME or --renew"
        )
    names = tuple(map(fleet_settings.checked_name, names))
    if address:
        settings = certificates.create_fleet(address)
        echo(f"Made a fleet with the scheduler {settings.scheduler}: {settings.folder}")
        echo("Start it here with: speedtest fleet serve")
    else:
        settings = fleet_settings.load()
    if renew:
        certificates.renew(settings)
        echo("Made new certificates for this machine. Start serve and join again.")
    for name in names:
        path = output / f"fleet-{name}.zip"
        package = fleet_settings.package_of(settings, name, certificates.issue(settings, name))
        fleet_settings.write_package(path, package)
        echo(f"Wrote {path}. On {name}: speedtest fleet join --from {path.name}")
    if names:
        echo("A package is a key to every machine of the fleet: delete it once it is used.")
    _warn(settings)


@click.command("serve")
def serve() -> None:
    """Run the fleet's scheduler on this machine, until Ctrl-C or SIGTERM.

    It listens on the one address that init was given, speaks TLS only, and accepts the fleet's own
    certificates only. What it refuses is in serve.log in the fleet's folder. It may be stopped and
    started at any time: nodes join again, and nothing is lost. It is not silent, so it belongs on
    a machine that does not measure.

    Exit codes: 0 stopped; 2 there is no fleet here, or it cannot listen on that address.
    """
    from mac_whisper_speedtest.fleet import network
    from mac_whisper_speedtest.fleet import settings as fleet_settings

    fleet_settings.require_packages()
    settings = fleet_settings.load()
    _warn(settings)
    network.serve(settings, lambda address: echo(f"Scheduler at {address}. Ctrl-C stops it."))


def _warn(settings: FleetSettings) -> None:
    """Name certificates that end soon."""
    from mac_whisper_speedtest.fleet import certificates

    for line in certificates.ending(settings):
        notify(f"warning: {line}")
