"""Options declared at fields, as click has them; options of several commands; confirmation."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mac_whisper_speedtest.cli import completion
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.option import (
    Group,
    Newest,
    OneOf,
    Option,
    Several,
    Switch,
    ValueKind,
    WholeNumber,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from mac_whisper_speedtest.request import Request

    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # not generic in click 8.1

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Value(_ParamType):
    """A value of a declared kind; a wrong one is a UsageError that names the option."""

    def __init__(self, kind: ValueKind) -> None:
        self.kind = kind
        self.name = kind.metavar

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """What ``--help`` shows for a value, in the letters in which it is typed."""
        return self.name

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,  # noqa: ARG002 - click's signature
    ) -> Any:
        """What was typed as a value; a default is one already."""
        if not isinstance(value, str):
            return value
        return self.kind.parse(value, max(param.opts, key=len) if param is not None else "")

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """The names of a kind that has some."""
        from click.shell_completion import CompletionItem

        names = self.kind.names if isinstance(self.kind, OneOf) else ()
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class GroupedOption(click.Option):
    """An option that ``--help`` shows under a heading, the rare ones last."""

    def __init__(self, *args: Any, group: Group, rare: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group
        self.rare = rare


class GroupedCommand(click.Command):
    """A command whose ``--help`` shows its options in named groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group that has options."""
        shown: dict[str, list[tuple[bool, tuple[str, str]]]] = {str(each): [] for each in Group}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                group = getattr(param, "group", Group.OUTPUT)
                shown[group].append((getattr(param, "rare", False), record))
        for heading, records in shown.items():
            if records:
                with formatter.section(heading):
                    ordered = sorted(records, key=lambda each: each[0])
                    formatter.write_dl([record for _, record in ordered])


def declared(*names: str) -> Callable[[_Command], _Command]:
    """The options of these fields of a `request.Request`, or of all: a decorator."""

    def decorate(command: _Command) -> _Command:
        from mac_whisper_speedtest import request

        for name in reversed(names or tuple(request.OPTIONS)):
            command = _click_option(name, request.OPTIONS[name])(command)
        return command

    return decorate


def _click_option(name: str, option: Option) -> Callable[[_Command], _Command]:
    from mac_whisper_speedtest import request

    kind, default = option.kind, request.default_of(name)
    more: dict[str, Any] = {"type": Value(kind), "show_default": option.otherwise or True}
    if isinstance(kind, Switch):
        more = {"is_flag": True, "default": default, "show_default": bool(option.off)}
    elif isinstance(kind, Several):
        more |= {"type": Value(kind.each), "multiple": True}
    elif isinstance(kind, Newest):
        more |= {"is_flag": False, "flag_value": ""}
    elif not option.otherwise and default not in (None, ()):
        more["default"] = kind.text(default)
    return click.option(
        option.flag + (f"/{option.off}" if option.off else ""),
        *([option.short] if option.short else []),
        name,
        cls=GroupedOption,
        group=option.group,
        rare=option.rare,
        required=option.required,
        envvar=option.envvar,
        shell_complete=completion.FIELDS.get(name),
        help=request.help_of(name),
        **more,
    )


fleet_option = functools.partial(click.option, cls=GroupedOption, group=Group.FLEET)


def request_of(asked: Mapping[str, Any]) -> Request:
    """The request that a command was called with; None is an option that was not given."""
    from mac_whisper_speedtest.request import Request

    return Request(**{name: value for name, value in asked.items() if value is not None})


def fleet_jobs(command: _Command) -> _Command:
    """The options of a run on many machines: those of a run, and which machines: a decorator.

    The command gets ``on``, ``repeat``, ``campaign`` and ``to`` beside the fields of a request.
    """
    from mac_whisper_speedtest import request
    from mac_whisper_speedtest.fleet import job

    for option in (
        fleet_option(
            "--to",
            required=True,
            metavar="PLACE",
            help="Where bundles are stored: a folder that all machines share, or s3://BUCKET/...",
        ),
        fleet_option(
            "--campaign", default="", metavar="NAME", help="Make the same request new work."
        ),
        fleet_option(
            "--repeat",
            type=Value(WholeNumber(least=1)),
            default=1,
            show_default=True,
            help="How often each is measured.",
        ),
        fleet_option(
            "--on",
            multiple=True,
            metavar="LABELS",
            help="A job for a machine like this, such as 'memory>=16G,os=macos' (comma: and).",
        ),
    ):
        command = option(command)
    return declared(*[name for name in request.OPTIONS if name not in job.LOCAL_OPTIONS])(command)


# Options of several commands.

json_flag = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of text for people."
)
dry_run_flag = click.option(
    "--dry-run", is_flag=True, help="Show what would be removed, and remove nothing."
)
yes_flag = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
results_files = click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Also write the results here: .json, .jsonl, .csv, .tsv, .parquet, .md or .html.",
)


def confirmed(*, yes: bool, action: str = "remove") -> bool:
    """Whether the user agrees to the action just shown.

    Args:
        yes: whether --yes was given.
        action: what happens then, as a verb.

    Raises:
        UsageError: --yes was not given and stdin is not a terminal.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for confirmation: stdin is no terminal",
            hint=f"add --yes to {action} all of it",
        )
    return click.confirm("Continue?", err=True)
