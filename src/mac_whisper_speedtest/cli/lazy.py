"""A group of commands that imports a command only to run it, so that ``--help`` stays cheap."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click


class LazyGroup(click.Group):
    """Knows every command's name and first line before any is imported.

    ``commands_of`` maps a name to its module in this package, which has a click command called
    ``command``, and to one line for ``--help``.
    """

    commands_of: Mapping[str, tuple[str, str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the table."""
        return list(self.commands_of)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported now; ``None`` where there is none."""
        if cmd_name not in self.commands_of:
            return None
        module = importlib.import_module(f"{__package__}.{self.commands_of[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.commands_of.items()])
