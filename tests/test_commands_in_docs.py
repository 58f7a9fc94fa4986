"""Commands in README, the guide and the example workflow are ones that the program takes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml  # type: ignore[import-untyped]

from fakes.runs import STEADY, FakeCell, stored
from mac_whisper_speedtest import cli

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / "examples" / "github-actions.yml"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]


def commands(page: Path) -> list[str]:
    """The lines in blocks of code that call the program, without their comments."""
    blocks = re.findall(
        r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return calls(lines)


def calls(lines: list[str]) -> list[str]:
    """The calls of the program in lines of a shell."""
    found = [part.strip() for line in lines for part in re.split(r"&&|\|\|", line)]
    return [each for each in found if re.match(r"(\S*/)?speedtest ", each)]


ALL = [(page.name, line) for page in PAGES for line in commands(page)]


def test_the_pages_have_commands() -> None:
    without = {"python.md"}
    assert {name for name, _ in ALL} == {page.name for page in PAGES} - without


def steps() -> dict[str, str]:
    """Name or first line → script, of each step of the example workflow that runs one."""
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    return {
        each.get("name", each["run"].splitlines()[0]): each["run"]
        for each in job["steps"]
        if "run" in each
    }


IN_WORKFLOW = [
    (WORKFLOW.name, re.sub(r"\$\w+", "x1", line))  # any value of a variable
    for each in steps().values()
    for line in calls(each.split("\n"))
]


def test_the_guide_shows_what_the_workflow_does() -> None:
    names = [
        {line.split()[1] for _, line in lines}
        for lines in (IN_WORKFLOW, [each for each in ALL if each[0] == "ci.md"])
    ]
    assert names[0] - {"clips"} == names[1]


@pytest.mark.parametrize(("page", "line"), [*ALL, *IN_WORKFLOW])
def test_a_command_is_understood(page: str, line: str) -> None:
    words = shlex.split(line.partition(" > ")[0], comments=True)[1:]
    command: click.Command = cli.speedtest
    context = None
    while isinstance(command, click.Group):
        if command.invoke_without_command and words[0].startswith("-"):
            break
        name, command_or_none, words = command.resolve_command(
            context or click.Context(command, info_name="speedtest"), words
        )
        assert command_or_none is not None, f"{page}: {line}"
        command = command_or_none
        context = click.Context(command, info_name=name, parent=context)
    command.make_context(command.name, list(words), parent=context)


@pytest.mark.parametrize("name", steps())
def test_a_script_of_the_workflow_is_one_to_bash(name: str) -> None:
    script = re.sub(r"\$\{\{.*?\}\}", "value", steps()[name])
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=30)


@pytest.mark.parametrize(
    ("times", "code", "text"),
    [
        ([], 0, "Nothing to compare with yet."),
        ([1.01], 0, "SAME"),
        ([0.5], 11, "SLOWER"),
    ],
)
def test_the_workflow_compares_with_the_earlier_run_if_there_is_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    times: list[float],
    code: int,
    text: str,
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    for time in (*times, 1.0):
        stored(FakeCell("a", rtf=[time * each for each in STEADY]), rounds=len(STEADY))
    summary = tmp_path / "summary.md"
    program = f'speedtest() {{ "{sys.executable}" -m mac_whisper_speedtest "$@"; }}\n'

    done = subprocess.run(
        [
            "bash",
            "--noprofile",
            "--norc",
            "-e",
            "-o",
            "pipefail",
            "-c",
            program + steps()["Compare"],
        ],
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(summary)},
        cwd=tmp_path,
        check=False,
        timeout=120,
    )

    assert done.returncode == code
    assert text in summary.read_text(encoding="utf-8")
    assert summary.read_text(encoding="utf-8") == (tmp_path / "comment.md").read_text("utf-8")
