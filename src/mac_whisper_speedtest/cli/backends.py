"""``speedtest backends``: what can be measured here, and how to get the rest."""

from __future__ import annotations

import click


@click.group("backends")
def command() -> None:
    """List backends, and install one into its own environment."""


@command.command("list")
def list_backends() -> None:
    """List every backend: where it would run from, and what it is. Imports none of them."""
    from rich.console import Console
    from rich.table import Table

    from mac_whisper_speedtest.backends import registry
    from mac_whisper_speedtest.worker import environments

    table = Table(box=None, pad_edge=False)
    for heading in ("backend", "here", "weights", "what it is"):
        table.add_column(heading)
    for backend in registry.installed().values():
        if backend.importable_here():
            here = "beside the tool"
        elif environments.python_of(backend.name):
            here = "own environment"
        else:
            here = "not installed"
        table.add_row(backend.name, here, backend.form, backend.summary)
    Console().print(table)


@command.command("install")
@click.argument("names", nargs=-1, required=True)
def install(names: tuple[str, ...]) -> None:
    """Install NAMES, each into a locked environment of its own, from your package index."""
    from mac_whisper_speedtest.backends import registry
    from mac_whisper_speedtest.worker import environments

    for backend in registry.select(names, registry.installed()):
        environments.install(backend.name, announce=lambda text: click.echo(text, err=True))
        click.echo(f"{backend.name} is installed in its own environment")
