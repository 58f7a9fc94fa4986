"""Foreign text is shown as text: no markup, no control character, no way around it."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

import mac_whisper_speedtest
from mac_whisper_speedtest.report.console import TextConsole

ROOT = Path(mac_whisper_speedtest.__file__).parent
MAY_ECHO = {"cli/__init__.py", "cli/output.py", "cli/progress.py"}
MARKUP = {"from_markup", "from_ansi", "render_markup"}


def printed(*parts: object, terminal: bool = False) -> str:
    out = io.StringIO()
    TextConsole(file=out, width=80, force_terminal=terminal, color_system="truecolor").print(*parts)
    return out.getvalue()


@pytest.mark.parametrize("text", ["1[/x]", "[link=https://a.example]x[/link]", "[red]x[/]", ":+1:"])
@pytest.mark.parametrize("terminal", [True, False])
def test_markup_in_a_text_stays_as_it_is(text: str, terminal: bool) -> None:
    table = Table(text)
    table.add_row(text)
    assert printed(text, terminal=terminal).strip() == text
    assert printed(Text(text), terminal=terminal).strip() == text
    assert printed(table, terminal=terminal).count(text) == 2


@pytest.mark.parametrize(
    "code", ["\x1b[31m", "\x1b]8;;https://a.example\x1b\\", "\x9b31m", "\u202e"]
)
def test_no_control_character_is_written_but_those_of_a_style(code: str) -> None:
    table = Table(f"a{code}b", header_style="")
    table.add_row(Text(f"a{code}b"))
    parts = (f"a{code}b", table, Text(f"a{code}b"))
    for found in (printed(each, terminal=True) for each in parts):
        assert code[0] not in found
        assert "\ufffd" in found
    assert printed(Text("a", style="red"), terminal=True) == "\x1b[31ma\x1b[0m\n"


def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize(
    "path", sorted(ROOT.rglob("*.py")), ids=lambda each: each.relative_to(ROOT).as_posix()
)
def test_output_goes_through_the_one_console_and_the_commands_own_echo(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    for call in calls(path):
        called = ast.unparse(call.func)
        last = called.rpartition(".")[2]
        assert last not in MARKUP
        assert last != "Console"
        assert name in MAY_ECHO or called not in {"click.echo", "click.secho", "print"}
        if last == "TextColumn":
            assert "markup=False" in ast.unparse(call)
