"""Commands with their options, options of a run, and exit codes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import click

from mac_whisper_speedtest import request
from mac_whisper_speedtest.cli import speedtest
from mac_whisper_speedtest.cli.options import Value
from mac_whisper_speedtest.declared import declarations
from mac_whisper_speedtest.errors import ExitCode
from mac_whisper_speedtest.option import Group, Option
from mac_whisper_speedtest.reference.markdown import (
    NOTHING,
    code,
    codes,
    link,
    page,
    table,
    without_markup,
)
from mac_whisper_speedtest.request import RecordedRequest

_NAMES = {"text": "TEXT", "integer": "N", "float": "NUMBER"}
"""What a value of click's own types is called."""


def commands() -> str:
    """Every command of ``speedtest`` with its arguments and options."""
    found = list(walk(speedtest, speedtest.name or ""))
    listed = [
        [link(f"`{name}`", name), _first_line(command)]
        for name, command in found
        if not isinstance(command, click.Group)
    ]
    return page(
        "Reference: commands",
        "Every command takes `--help`. Words in capitals stand for what you type; `[...]` may be "
        "left out; `...` may be repeated. [Exit codes](exit-codes.md) are on a page of their own.",
        table(("command", "what it does"), listed),
        *(part for name, command in found for part in _command(name, command)),
    )


def walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, in their order, with their full names."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            if below is not None:
                yield from walk(below, f"{name} {each}")


def _first_line(command: click.Command) -> str:
    return " ".join(without_markup((command.help or "").partition("\n\n")[0]).split())


def _command(name: str, command: click.Command) -> Iterator[str]:
    options = [each for each in command.params if isinstance(each, click.Option)]
    yield f"## {name}"
    if not isinstance(command, click.Group) or command.invoke_without_command:
        arguments = [
            _argument(each)
            for each in command.params
            if isinstance(each, click.Argument) and each.metavar != ""  # for a better message
        ]
        yield f"`{' '.join([name, *(['[OPTIONS]'] if options else []), *arguments])}`"
    yield from _help(command)
    if any(each.required and each.name in request.OPTIONS for each in options):
        yield "It takes the [options of a run](run-options.md), and:"
        options = [each for each in options if each.name not in request.OPTIONS]
    if options:
        yield table(("option", "value", "default", "meaning"), map(_option, options))


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    name = f"{name}..." if argument.nargs != 1 and not name.endswith("...") else name
    return name if argument.required else f"[{name}]"


def _help(command: click.Command) -> Iterator[str]:
    r"""The paragraphs of a help text; what ``\b`` keeps as it is becomes a block of code."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            lines = paragraph[2:].split("\n")
            language = "sh" if all(each.startswith("speedtest ") for each in lines) else "text"
            yield "\n".join((f"```{language}", *lines, "```"))
        else:
            yield without_markup(" ".join(paragraph.split()))


def _option(option: click.Option) -> list[str]:
    text, _, stated = (option.help or "").rstrip("]").partition("[default: ")
    default = getattr(option, "show_default", None)
    stated = stated or (default if isinstance(default, str) else _default(option.default))
    return [
        codes([*sorted(option.opts, key=len), *option.secondary_opts]),
        NOTHING if option.is_flag else code(_value(option)) + ", repeatable" * option.multiple,
        "required" if option.required else stated or NOTHING,
        without_markup(text) or NOTHING,
    ]


def _value(option: click.Option) -> str:
    kind = option.type
    if option.metavar:
        return option.metavar
    if isinstance(kind, click.Choice):
        return "|".join(kind.choices)
    if isinstance(kind, Value):
        return kind.kind.metavar.strip("[]")
    return "PATH" if isinstance(kind, click.Path) else _NAMES.get(kind.name, kind.name.upper())


def _default(value: Any) -> str:
    """A default that is worth showing; click has a mark of its own for none."""
    if isinstance(value, bool):
        return "on" if value else ""
    return code(f"{value:g}" if isinstance(value, float) else value) if _is_shown(value) else ""


def _is_shown(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != ""


def run_options() -> str:
    """Options of ``speedtest run``, and keywords of ``run()`` in Python."""
    recorded = declarations(RecordedRequest, Option)
    sections = [
        part
        for group in Group
        if _names_of(group)
        for part in (
            f"## {group}",
            table(
                ("option", "in Python", "value", "unit", "default", "recorded", "meaning"),
                (_run_option(name, name in recorded) for name in _names_of(group)),
            ),
        )
    ]
    return page(
        "Reference: options of a run",
        "What `speedtest run` and, in Python, `run(models, ...)` take. In Python shares are "
        "fractions, times are seconds and sizes are bytes. *Recorded* options are in the "
        "manifest, under [`request`](results.md#requestinfo) and by the name they have in Python.",
        *sections,
    )


def _names_of(group: Group) -> list[str]:
    """The options of a group, the rare ones last."""
    names = [name for name, option in request.OPTIONS.items() if option.group is group]
    return sorted(names, key=lambda name: request.OPTIONS[name].rare)


def _run_option(name: str, recorded: bool) -> list[str]:
    option, default = request.OPTIONS[name], request.default_of(name)
    given = NOTHING if default in (None, (), False) else f"`{option.kind.text(default)}`"
    also = f" Environment variable: `{option.envvar}`." if option.envvar else ""
    return [
        codes(flag for flag in (option.short, option.flag, option.off) if flag),
        f"`{name}`",
        option.kind.metavar or NOTHING,
        request.DOCS[name].unit,
        "required" if option.required else option.otherwise or ("on" if default is True else given),
        "yes" if recorded else NOTHING,
        request.help_of(name) + also,
    ]


def exit_codes() -> str:
    """Exit codes of ``speedtest``."""
    return page(
        "Reference: exit codes",
        "Their numbers and meanings never change. Every cell of a run counts, except one that is "
        "`unavailable` while no backend was named. Where several apply, the command's own help in "
        "[commands.md](commands.md) says which comes first. A broken stream ends no run: a reader "
        "of stdout that goes away (`| head -1`) changes no exit code.",
        table(
            ("code", "name", "meaning"),
            ([f"{each:d}", f"`{each.name}`", each.meaning] for each in ExitCode),
        ),
    )
