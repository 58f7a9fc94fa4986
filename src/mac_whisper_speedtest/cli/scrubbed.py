"""Output that names nobody: home folders and user names are taken out before it is printed."""

from __future__ import annotations

from typing import Any

import click

from mac_whisper_speedtest.privacy import scrub


def echo(text: str) -> None:
    """Print a line."""
    click.echo(scrub(text))


def echo_json(value: Any) -> None:
    """Print a value as JSON."""
    import json

    click.echo(scrub(json.dumps(value, indent=2, ensure_ascii=False)))
