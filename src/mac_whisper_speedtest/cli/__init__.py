"""The ``speedtest`` command: one file per subcommand, imported when it is called."""

from __future__ import annotations

import importlib

import click

from mac_whisper_speedtest.errors import ExitCode, SpeedtestError, UsageError, nearest_names
from mac_whisper_speedtest.version import __version__

# name -> (module, or module:attribute where a module has several; one line for --help). The lines
# are here so that --help imports no command.
_COMMANDS = {
    "run": ("run", "Measure backends and print one ranked table."),
    "check-models": ("check_models", "Check which weights are present, complete and loadable."),
    "show": ("show", "Show a run, or recover one that was killed."),
    "score": ("show:score_command", "Score a run's texts again, also with another normalizer."),
    "diff": ("show:diff_command", "Show where two backends of a run wrote different words."),
    "report": ("report", "Write a run as one HTML page that needs no network."),
    "results": ("results", "List, check, share and remove runs."),
    "export": ("report:export", "Write runs as JSON, CSV, Parquet and other tables."),
    "compare": ("compare", "Compare two runs: speed, accuracy, memory, energy."),
    "history": ("compare:history", "Show one backend over time, and when it changed."),
    "leaderboard": ("leaderboard", "Build a leaderboard from runs of many machines."),
    "fleet": ("fleet", "Measure on many machines of yours, and collect the bundles."),
    "trace": ("report:trace", "Export a run as Perfetto trace or OTLP."),
    "noise": ("doctor:noise", "Measure how far identical measurements differ on this machine."),
    "backends": ("backends", "List backends, and manage the environments they run in."),
    "models": ("models", "List, pull, verify, convert and remove weights."),
    "clips": ("clips", "List and fetch the built-in speech; clear the decode cache."),
    "doctor": ("doctor", "Check that this machine is ready for benchmarking."),
    "selfcheck": ("selfcheck", "Check that what is measured on this machine is right."),
    "completion": ("completion", "Print the script that completes commands in your shell."),
    "conformance": ("conformance", "Check that a program speaks the worker protocol."),
}


class _LazyGroup(click.Group):
    """Knows every command's name and first line, and imports a command only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        commands = importlib.import_module(f"{__name__}.{module}")
        command: click.Command = getattr(commands, attribute or "command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            hint = nearest_names(args[0], _COMMANDS, listed_by="speedtest --help")
            raise UsageError(f"there is no command {args[0]!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


_HELP = "\n".join(
    (
        "Which Whisper is fastest on this machine, and is it still right?\n",
        "\b\nExit codes:",
        *(f"{code:5d}  {code.meaning}" for code in ExitCode),
    )
)


@click.group(cls=_LazyGroup, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="speedtest")
def speedtest() -> None:
    """The whole command line."""


def main() -> int:
    """Run the command line; every expected error becomes one line, a hint and an exit code."""
    try:
        # click returns a command's result or its exit code.
        return int(speedtest(standalone_mode=False) or ExitCode.OK)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        if context is not None and error.message == context.get_help():  # a group without a command
            click.echo(error.message, err=True)
            return int(ExitCode.USAGE)
        hint = f"see {context.command_path} --help" if context else ""
        return _failed(error.format_message().rstrip("."), hint, ExitCode.USAGE)
    except SpeedtestError as error:
        return _failed(error.message, error.hint, error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("speedtest: interrupted", err=True)
        return int(ExitCode.INTERRUPTED)


def _failed(message: str, hint: str, code: ExitCode) -> int:
    from mac_whisper_speedtest.cli.output import notify  # not for --help

    notify(f"speedtest: error: {message}")
    if hint:
        notify(f"  hint: {hint}")
    return int(code)
