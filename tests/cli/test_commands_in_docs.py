"""Commands in README, the guide and the example workflow do what the pages say.

Those of README and the guide are run as they are written, page after page in one folder, on real
weights and real speech; those that need a network, a Mac or many minutes are parsed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]

from fakes.runs import STEADY, FakeCell, stored
from fakes.sound_files import encode
from mac_whisper_speedtest import cli
from mac_whisper_speedtest.audio import builtin
from mac_whisper_speedtest.audio.decode import SAMPLE_RATE

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "examples" / "github-actions.yml"
GUIDE = ROOT / "docs" / "guide"
FIRST = [ROOT / "README.md", GUIDE / "first-number.md", GUIDE / "your-model.md"]
FIRST += [GUIDE / "sharing.md"]
"""In the order in which their commands are run; the others follow by name."""
PAGES = FIRST + [page for page in sorted(GUIDE.glob("*.md")) if page not in FIRST]
WITHOUT_COMMANDS = {"python.md"}

ELSEWHERE = {
    r"backends install|models pull|--pull|--install|--download|https:": "needs a network",
    r"run .*(\bsmall\b|parakeet|apple-speech|org/name)|conformance -b whisperkit": "needs weights",
    r"--mic": "needs a microphone",
    r"hf:": "names a data set that does not exist",
    r"speedtest noise|selfcheck --gpu|--budget|--ci-width|--rounds 10": "takes minutes",
    r"selfcheck show": "needs a kit, which takes minutes",
    r"speedtest fleet|/Volumes/": "needs other machines",
}
"""Commands that a test cannot run → why."""
ENDS_WITH = {
    "check-models --model small": {6},  # absent
    "speedtest doctor": {0, 9},
    # The latest run may be of another contract.
    "compare previous-comparable latest --fail-on": {0, 2, 11},
    "compare previous-comparable latest": {0, 2},
    "compare run.zip latest --anyway": {0},
    "compare run.zip latest": {0, 2},
}
"""Exit codes of commands that may end with another one than 0."""
PROGRAM = """#!{python}
# The program with as few calls as it can make: how many there are is not what pages are tested for.
import sys
from mac_whisper_speedtest import cli, request
from mac_whisper_speedtest.run import warmup
request.DEFAULT_ROUNDS = request.OPEN_PAIRS_ROUNDS = warmup.MOST_TRIES = 1
sys.exit(cli.main())
"""
TALKS = {  # seconds of the built-in reading → what is said in them
    "one": ((0.0, 3.9), "It was the best of times, it was the worst of times,"),
    "two": ((4.0, 7.7), "it was the age of wisdom, it was the age of foolishness,"),
}


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
    assert {name for name, _ in ALL} == {page.name for page in PAGES} - WITHOUT_COMMANDS


@dataclass
class Desk:
    """A user's folder with recordings and an engine, beside a machine without any run."""

    folder: Path
    environment: dict[str, str]
    done: set[str] = field(default_factory=set)

    def follow(self, line: str) -> subprocess.CompletedProcess[str]:
        """Type a line, as a shell takes it."""
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[Desk]:
    folder, cache = tmp_path_factory.mktemp("desk"), tmp_path_factory.mktemp("cache")
    for kept in ("weights", "clips"):  # without environments: what install.py puts there
        (cache / kept).symlink_to(shared_cache / kept)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "speedtest").write_text(PROGRAM.format(python=sys.executable), encoding="utf-8")
    (programs / "speedtest").chmod(0o755)
    _record(folder)
    _engines(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEEDTEST_DATA_DIR", str(folder / "data"))
        patch.setenv("SPEEDTEST_CACHE_DIR", str(cache))
        patch.setenv("HOME", str(folder))
        patch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        yield Desk(folder, dict(os.environ))


def _record(folder: Path) -> None:
    """The recordings, texts and lists that the pages name, of real speech."""
    reading = np.asarray(builtin.load("short", notify=print).pcm)
    (folder / "talks").mkdir()
    lines = []
    for name, ((start, end), words) in TALKS.items():
        pcm = reading[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)].reshape(1, -1)
        encode(folder / "talks" / f"{name}.mp3", pcm, rate=SAMPLE_RATE, codec="libmp3lame")
        (folder / "talks" / f"{name}.txt").write_text(words, encoding="utf-8")
        lines.append(json.dumps({"audio_filepath": f"talks/{name}.mp3", "text": words}))
    (folder / "speech.jsonl").write_text("\n".join(lines), encoding="utf-8")
    shutil.copy(folder / "talks" / "one.mp3", folder / "talk.mp3")
    for name in ("talk.txt", "words.txt"):
        shutil.copy(folder / "talks" / "one.txt", folder / name)


def _engines(folder: Path) -> None:
    """The engine in C, where it can be compiled, and what the pages describe in files."""
    page = (GUIDE / "adding-a-backend.md").read_text(encoding="utf-8")
    for name in ("engine.c", "engine.toml"):
        shutil.copy(ROOT / "bridges" / "example-c" / name, folder)
    if shutil.which("cc"):
        (compiling,) = re.findall(r"^cc .*$", page, re.MULTILINE)
        subprocess.run(compiling.split(), cwd=folder, check=True, timeout=60)
    page += (GUIDE / "two-releases.md").read_text(encoding="utf-8")
    for name in ("levels.py", "levels.json", "levels.toml", "new.toml"):
        found = re.search(
            rf"^`{name}`[^\n]*:\n\n```\w+\n(.*?)^```$", page, re.DOTALL | re.MULTILINE
        )
        assert found is not None
        (folder / name).write_text(found[1], encoding="utf-8")
    python = folder / "new" / "bin" / "python"  # in place of an environment with a wheel in it
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)


def elsewhere(line: str) -> bool:
    """Whether a test cannot run it."""
    needed = "|".join(ELSEWHERE) + ("" if shutil.which("cc") else r"|engine\.toml")
    return re.search(needed, line) is not None


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda it: it.name)
def test_the_commands_of_a_page_can_be_followed(page: Path, desk: Desk) -> None:
    lines = [line for line in commands(page) if not elsewhere(line)]
    assert lines or page.name in {"fleet.md", "selfcheck.md"}
    for line in lines:
        typed = " ".join(shlex.split(line, comments=True)[1:])
        if typed.startswith("run ") and "--tag" not in typed and typed in desk.done:
            continue
        done = desk.follow(line)
        codes = [codes for part, codes in ENDS_WITH.items() if part in line]
        assert done.returncode in (codes[0] if codes else {0}), (
            f"{page.name}: {line}\n{done.stdout}\n{done.stderr}"
        )
        desk.done.add(typed)


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
    assert names[0] == names[1]


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


def run_compare_step(folder: Path, script: str) -> subprocess.CompletedProcess[bytes]:
    """Run the workflow's comparison as its runner does, in a folder that gets a summary.md."""
    program = f'speedtest() {{ "{sys.executable}" -m mac_whisper_speedtest "$@"; }}\n'
    shell = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c"]
    return subprocess.run(
        [*shell, program + script],
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(folder / "summary.md")},
        cwd=folder,
        check=False,
        timeout=120,
    )


def store_runs(times: list[float]) -> None:
    for time in times:
        stored(FakeCell("a", rtf=[time * each for each in STEADY]), rounds=len(STEADY))


def test_a_mistyped_option_fails_the_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    store_runs([1.0, 1.0])
    mistyped = steps()["Compare"].replace("slower,wrong", "slwer")

    assert run_compare_step(tmp_path, mistyped).returncode == 2


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
    store_runs([*times, 1.0])
    summary = tmp_path / "summary.md"

    done = run_compare_step(tmp_path, steps()["Compare"])

    assert done.returncode == code
    assert text in summary.read_text(encoding="utf-8")
    assert summary.read_text(encoding="utf-8") == (tmp_path / "comment.md").read_text("utf-8")
