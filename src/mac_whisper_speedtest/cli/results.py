"""``speedtest results``: what is kept, found again, checked, shared and removed."""

from __future__ import annotations

from types import MappingProxyType

import click

from mac_whisper_speedtest.cli.lazy import LazyGroup
from mac_whisper_speedtest.privacy import scrub


def warn(message: str) -> None:
    """Say on stderr what is not as usual, without naming anybody."""
    click.echo(f"speedtest: {scrub(message)}", err=True)


class _Results(LazyGroup):
    commands_of = MappingProxyType(
        {
            "list": ("results_list", "List runs, the newest last."),
            "show": ("show", "Show a run again: the same as `speedtest show`."),
            "verify": (
                "results_verify",
                "Say whether runs are what was written and measured.",
            ),
            "migrate": ("results_migrate", "Seal runs anew as this version does."),
            "reindex": ("results_reindex", "Make the index anew from the runs."),
            "bundle": ("results_bundle", "Make one file of a run that can be shared."),
            "import": ("results_import", "Take in runs that others have bundled."),
            "rm": ("results_rm", "Remove runs."),
            "gc": ("results_gc", "Remove what killed tools have left."),
        }
    )


@click.group("results", cls=_Results)
def command() -> None:
    """List, check, share and remove runs."""
