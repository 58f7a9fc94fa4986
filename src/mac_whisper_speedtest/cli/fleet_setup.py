"""``speedtest fleet init``, ``serve``, ``join``: how machines become a fleet; and ``emit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mac_whisper_speedtest.cli import options
from mac_whisper_speedtest.cli.output import echo, echo_document, notify
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

    Anyone who has such a package can run code on every machine of the fleet. A certificate ends
    after two years and cannot be withdrawn earlier: if one is lost, remove the fleet's folder
    everywhere and begin a new fleet.

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


@click.command("join")
@click.argument("address", required=False)
@click.option(
    "--from",
    "package",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The package of this machine, the first time, and to renew it.",
)
@click.option(
    "--install", "service", is_flag=True, help="Write a service that joins, and start nothing."
)
def join(address: str | None, package: Path | None, service: bool) -> None:
    """Be a node of the fleet whose scheduler is at ADDRESS, until Ctrl-C or SIGTERM.

    A node measures one job after the other, when nothing else is measured on this machine, and is
    silent meanwhile. If the scheduler is away, it tries again until it is there. ADDRESS is in the
    package, and needs to be given only if it has changed.

    The node listens on one address of this machine, which the scheduler has to reach. Every holder
    of a certificate of the fleet can run code on this machine.

    --install writes a launchd agent (macOS) or a systemd unit (Linux) of this user, which starts
    again whenever it ends, and prints how to start it. Keep the machine from sleeping.

    \b
    speedtest fleet join --from fleet-mini-m4.zip
    speedtest fleet join --install

    Exit codes: 0 the service is written; 2 the fleet refuses this machine, or the request was
    wrong; 5 a file cannot be written; 130 Ctrl-C.
    """
    from dataclasses import replace

    from mac_whisper_speedtest.fleet import agent, node, units
    from mac_whisper_speedtest.fleet import settings as fleet_settings

    fleet_settings.require_packages()
    if package is not None:
        fleet_settings.install_package(package)
        echo(f"Took in {package}: delete it, it is a key to every machine of the fleet.")
    settings = fleet_settings.load()
    if address is not None:
        settings = replace(settings, scheduler=fleet_settings.checked_address(address))
        fleet_settings.save(settings)
    settings.own_certificate(fleet_settings.Part.NODE)
    _warn(settings)
    if service:
        unit = units.install(settings)
        echo(f"Wrote {unit.path}. Start it with:")
        for line in unit.commands:
            echo(f"  {line}")
        return
    units.bound_log()
    notify(f"Node {settings.name} of the fleet at {settings.scheduler}. Ctrl-C ends it.")
    node.join(settings.name, agent.command(settings), notify=notify)


@click.command("emit", cls=options.GroupedCommand)
@options.fleet_jobs
@click.option("--github", "engine", flag_value="github", help="A workflow for GitHub's runners.")
@click.option("--ssh", "engine", flag_value="ssh", help="A shell script that uses ssh.")
@click.option("--slurm", "engine", flag_value="slurm", help="A script for sbatch.")
def emit(
    *,
    engine: str | None,
    on: tuple[str, ...],
    repeat: int,
    campaign: str,
    to: str,
    **asked: Any,
) -> None:
    """Print the jobs that run would make for an engine that you have, and measure nothing.

    It takes the options of speedtest fleet run, and needs no fleet: every machine has speedtest on
    its PATH. What the engine cannot check of --on is said. Copy the bundles to --to, if they are
    not there by themselves; speedtest results import takes them in, or fleet collect in a fleet.

    \b
    speedtest fleet emit --ssh --model small --on node=mini --on node=studio --to ~/b > jobs.sh
    speedtest fleet emit --github --model small --on os=macos,arch=arm64 --to ~/b > fleet.yml
    speedtest fleet emit --slurm --model small --on 'memory>=64G' --to /shared/b > jobs.sh

    Exit codes: 0 printed; 2 the request was wrong, or that engine cannot do it.
    """
    from mac_whisper_speedtest.fleet import emit as emitters
    from mac_whisper_speedtest.fleet import job

    if engine is None:
        raise UsageError("no engine was named", hint="add --github, --ssh or --slurm")
    if not on:
        raise UsageError(
            "an emitted job names its machine", hint="add --on node=NAME, or --on with its labels"
        )
    request = options.request_of(asked)
    to = to if "://" in to else str(Path(to).expanduser().absolute())
    jobs = job.jobs_of(request, on=on, repeat=repeat, campaign=campaign, to=to)
    emitted = emitters.ENGINES[engine](jobs)
    echo_document(emitted.text)
    for line in emitted.notes:
        notify(f"note: {line}")


def _warn(settings: FleetSettings) -> None:
    """Name certificates that end soon."""
    from mac_whisper_speedtest.fleet import certificates

    for line in certificates.ending(settings):
        notify(f"warning: {line}")
