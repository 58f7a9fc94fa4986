"""``speedtest completion``: the shell's Tab key completes models, backends, clips, tags and runs.

The scripts and their protocol are click's. A parameter names one of the functions here as its
``shell_complete``; they run at every press of the key, so each imports only what it asks, and a
problem completes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.errors import SpeedtestError, UsageError
from mac_whisper_speedtest.option import TagName

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]

_NEWEST_RUNS = 100
"""Runs that are completed by number and tag; the manifest of each is read."""


def _completer(find: Callable[[], Iterable[str]], *, or_file: bool = False) -> Completer:
    """Completes what ``find`` returns, and the paths of files where those are names too."""

    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        if or_file and ("/" in incomplete or incomplete.startswith((".", "~"))):
            return [CompletionItem(incomplete, type="file")]
        given = context.params.get(parameter.name or "") or ()
        taken = given if isinstance(given, tuple) else ()
        try:
            names = [name for name in dict.fromkeys(find()) if name not in taken]
        except (SpeedtestError, OSError):
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]

    return complete


def _models() -> Iterator[str]:
    from mac_whisper_speedtest import catalog

    yield from catalog.models()


def _backends() -> Iterator[str]:
    from mac_whisper_speedtest.backends import registry

    yield from registry.installed()


def _devices() -> Iterator[str]:
    from mac_whisper_speedtest.backends import registry

    yield from ("auto", "cpu", "gpu")
    for backend in registry.installed().values():
        yield from backend.devices


def _clips() -> Iterator[str]:
    from mac_whisper_speedtest.audio import builtin

    yield from builtin.builtin_clips().names


def _tags() -> Iterator[str]:
    from mac_whisper_speedtest.results import directory

    for _, tags in directory.newest_names(_NEWEST_RUNS):
        yield from filter(_is_tag, tags)


def _runs() -> Iterator[str]:
    from mac_whisper_speedtest.results import directory

    yield "latest"
    yield from _tags()
    yield from (str(number) for number, _ in directory.newest_names(_NEWEST_RUNS))


def _is_tag(text: str) -> bool:
    """Whether this program wrote it; anything else might be a command to the shell."""
    try:
        TagName().check(text, "")
    except UsageError:
        return False
    return True


def _bases() -> Iterator[str]:
    yield "previous-comparable"
    yield from _runs()


def _fail_on() -> Iterator[str]:
    from mac_whisper_speedtest.compare import fail_on

    yield from fail_on.KINDS


models = _completer(_models)
backends = _completer(_backends, or_file=True)
clips = _completer(_clips)
devices = _completer(_devices)
tags = _completer(_tags)
runs = _completer(_runs, or_file=True)
bases = _completer(_bases, or_file=True)
fail_on = _completer(_fail_on)


def files(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Lets the shell complete a path."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


FIELDS = {
    "models": models,
    "backends": backends,
    "reference_backend": backends,
    "clip": clips,
    "device": devices,
    "tags": tags,
    "resume": runs,
    "audio": files,
    "manifest": files,
    "reference_text": files,
}
"""Field of a request → what completes its option, where its kind of value does not."""


@click.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    """Print the script with which SHELL completes commands, options, models, backends and runs.

    Needs bash 4.4 or newer (macOS has 3.2; its own shell is zsh), and `speedtest` on the PATH. For
    the current shell, and for every new one:

    \b
    eval "$(speedtest completion bash)"         # and add this line to ~/.bashrc
    eval "$(speedtest completion zsh)"          # after compinit; add it to ~/.zshrc
    speedtest completion fish | source          # add it to ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from mac_whisper_speedtest.cli import speedtest
    from mac_whisper_speedtest.cli.output import echo_document

    made = get_completion_class(shell)
    if made is not None:
        echo_document(made(speedtest, {}, "speedtest", "_SPEEDTEST_COMPLETE").source())
