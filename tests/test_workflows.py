"""The workflows: right by their schema, audited, and built of steps that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[1]
FILES = [*sorted((ROOT / ".github/workflows").glob("*.yml")), ROOT / "examples/github-actions.yml"]
PINNED = re.compile(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def called(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name(program)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def steps(file: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_each_is_what_github_takes() -> None:
    done = called("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *FILES)
    assert done.returncode == 0, done.stdout


def test_an_audit_of_them_finds_nothing() -> None:
    done = called("zizmor", "--offline", "--no-progress", "--color", "never", *FILES)
    assert done.returncode == 0, done.stdout
    assert "No findings" in done.stdout + done.stderr


def test_the_audit_does_find_what_it_is_for(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    text = (ROOT / ".github/workflows/nightly.yml").read_text(encoding="utf-8")
    broken.write_text(re.sub(r"@[0-9a-f]{40} # v[\d.]+", "@v4", text), encoding="utf-8")
    done = called("zizmor", "--offline", "--no-progress", "--color", "never", broken)
    assert done.returncode != 0
    assert "unpinned-uses" in done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_action_is_pinned_by_its_commit_and_says_its_version(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    used = [line.partition("uses: ")[2] for line in lines if "uses: " in line]
    assert used
    assert [each for each in used if not PINNED.fullmatch(each)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_files_of_this_repository_that_steps_name_exist(file: Path) -> None:
    scripts = "\n".join(step["run"] for step in steps(file) if "run" in step)
    for name in re.findall(r"(?<![\w./-])(?:\.ci|bridges|tests|tools)/[\w/.-]+", scripts):
        if "/.build/" not in name:
            assert (ROOT / name).exists(), name


def test_one_version_of_an_action_is_used_everywhere() -> None:
    used = {step["uses"] for file in FILES for step in steps(file) if "uses" in step}
    names = [each.partition("@")[0] for each in used]
    assert len(names) == len(set(names))
