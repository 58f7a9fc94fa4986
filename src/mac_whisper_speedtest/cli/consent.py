"""Asking before anything is removed."""

from __future__ import annotations

import sys

import click

from mac_whisper_speedtest.errors import UsageError


def given(*, yes: bool) -> bool:
    """Whether the user agrees to what was just shown.

    Args:
        yes: they said so beforehand.

    Raises:
        UsageError: they did not, and nobody is there to be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked", hint="add --yes to remove all of it")
    return click.confirm("Go on?", err=True)
