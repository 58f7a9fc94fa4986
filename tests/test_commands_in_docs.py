"""Every command that README and the guide tell people to type is one that the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from mac_whisper_speedtest import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]


def commands(page: Path) -> list[str]:
    """The lines in blocks of code that call the program, without their comments."""
    blocks = re.findall(
        r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    found = [part.strip() for line in lines for part in line.split("&&")]
    return [each for each in found if re.match(r"(\S*/)?speedtest ", each)]


ALL = [(page.name, line) for page in PAGES for line in commands(page)]


def test_the_pages_have_commands() -> None:
    assert {name for name, _ in ALL} == {page.name for page in PAGES}


@pytest.mark.parametrize(("page", "line"), ALL)
def test_a_command_is_understood(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli.speedtest
    context = None
    while isinstance(command, click.Group):
        name, command_or_none, words = command.resolve_command(
            context or click.Context(command, info_name="speedtest"), words
        )
        assert command_or_none is not None, f"{page}: {line}"
        command = command_or_none
        context = click.Context(command, info_name=name, parent=context)
    command.make_context(command.name, list(words), parent=context)
