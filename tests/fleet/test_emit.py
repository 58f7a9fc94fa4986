"""Jobs for other engines: what they take, what they are not given, and one that really runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from conftest import Answer, Call, write_tone
from mac_whisper_speedtest.bundle import read
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.fleet import emit, job, storage
from mac_whisper_speedtest.fleet.job import Job
from mac_whisper_speedtest.request import from_keywords

WORKFLOWS = Path(__file__).parents[2] / ".github" / "workflows"
ON = ["node=mini,memory>=16G", "node=studio", "os=macos,arch=arm64,chip=M4,node=mini"]


def jobs(on: list[str] = ON, to: str = "/shared/the bundles", **asked: Any) -> list[Job]:
    given = {"models": ["tiny.en"], "backends": ["faster-whisper", "whisper.cpp:q5_1"], **asked}
    return job.jobs_of(from_keywords(**given), on=on, repeat=2, to=to)


def test_a_command_measures_what_the_job_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed by the command line itself, it is the same request."""
    from mac_whisper_speedtest.cli.run import command

    asked: dict[str, Any] = {
        "contract": "beam5", "max_memory_bytes": 4_000_000_000, "retake": False, "ci_width": 0.02,
        "language": "fr", "durations": (2.0, 5.0), "device": "it's $HOME", "nice": -3,
    }  # fmt: skip
    (first, *_) = jobs(["node=mini"], **asked)

    words = shlex.split(emit.run_command(first))

    assert words[:2] == ["speedtest", "run"]
    context = command.make_context("run", words[2:])
    assert context.params["tags"] == (f"fleet-{first.id[:16]}",)
    found = {name: value for name, value in context.params.items() if value is not None}
    for other in ("others", "output", "as_json", "quiet", "json_logs", "tags"):
        found.pop(other, None)
    assert from_keywords(**{**found, "contract": "beam5"}) == first.asked()


# GitHub


def test_github_gets_a_job_for_each_of_ours(tmp_path: Path) -> None:
    emitted = emit.github(jobs())

    document = yaml.safe_load(emitted.text)
    entries = document["jobs"]["measure"]["strategy"]["matrix"]["include"]
    assert [each["id"] for each in entries] == [each.id for each in jobs()]
    assert [each["runner"] for each in entries[:3]] == [
        ["self-hosted", "mini"],
        ["self-hosted", "studio"],
        ["self-hosted", "ARM64", "M4", "mini", "macOS"],
    ]
    assert emitted.notes == ("memory>=16G is not checked by GitHub",)


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("check-jsonschema", ["--builtin-schema", "vendor.github-workflows"]),
        ("zizmor", ["--offline", "--no-progress", "--color", "never"]),
    ],
)
def test_github_takes_the_workflow_and_an_audit_finds_nothing(
    tmp_path: Path, program: str, arguments: list[str]
) -> None:
    path = tmp_path / "fleet.yml"
    path.write_text(emit.github(jobs(device="it's")).text, encoding="utf-8")

    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_actions_are_those_of_this_projects_own_workflows() -> None:
    used = {line.partition("uses: ")[2] for line in emit.github(jobs()).text.splitlines()} - {""}
    own = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS.glob("*.yml"))

    assert used
    assert [each for each in used if f"uses: {each}\n" not in own] == []


def test_what_github_would_replace_is_refused() -> None:
    with pytest.raises(UsageError, match="GitHub would replace"):
        emit.github(jobs(device="${{ secrets.TOKEN }}"))


def test_the_steps_of_the_workflow_measure_and_name_a_bundle(
    machine: Callable[..., Answer], tmp_path: Path
) -> None:
    document = yaml.safe_load(emit.github(simple(["node=mini"], tmp_path)).text)
    entry = document["jobs"]["measure"]["strategy"]["matrix"]["include"][0]
    script = "\n".join(
        each["run"] for each in document["jobs"]["measure"]["steps"] if "run" in each
    )
    path = tmp_path / "steps.sh"
    path.write_text(f"set -e\n{script}", encoding="utf-8")

    answer = machine("bash", path, ID=entry["id"], MEASURE=entry["measure"])

    assert answer.code == 0, answer.err
    (bundle,) = (tmp_path / "here" / "bundles").iterdir()
    assert storage.parse_name(bundle.name) is not None


# Shells


@pytest.fixture
def machine(tmp_path: Path, fake: Callable[..., Path]) -> Callable[..., Answer]:
    """A shell on a machine whose speedtest measures a fake backend on a tone.

    Its ssh runs what it is given here, as the shell of a user would, and says where.
    """
    programs = tmp_path / "programs"
    programs.mkdir()
    backend = fake("quick")
    tone = write_tone(tmp_path / "tone.wav")
    stands_for = f"--audio {shlex.quote(str(tone))} --backend {shlex.quote(str(backend))}"
    scripts = {
        "speedtest": "case $1 in run) shift; set -- run --model tiny.en --rounds 1 --passes 1 "
        f'{stands_for} "$@" ;; esac\n'
        f'exec {shlex.quote(sys.executable)} -m mac_whisper_speedtest "$@"',
        "ssh": 'echo "$*" | head -1 >> "$0.log"\n'
        'while [ "$1" != -- ]; do shift; done\n'
        '[ "$2" = broken ] && exit 255\n'
        'exec "${REMOTE_SHELL:-sh}" -c "$3"',
        "sbatch": 'echo "$*" >> "$0.log"\n'
        "while case $1 in --*) true ;; *) false ;; esac; do\n"
        "    case $1 in --array=*) tasks=${1#*=0-} ;; esac\n    shift\ndone\n"
        "task=0\nwhile [ $task -le $tasks ]; do\n"
        '    SLURM_ARRAY_TASK_ID=$task sh "$@" || exit 1\n    task=$((task + 1))\ndone',
    }
    for name, text in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    here = tmp_path / "here"
    here.mkdir()

    def run(*command: object, **environment: str) -> Answer:
        done = subprocess.run(
            [*map(str, command)],
            capture_output=True,
            text=True,
            check=False,
            cwd=here,
            timeout=200,
            env={
                **os.environ, "PATH": f"{programs}:{os.environ['PATH']}",
                "SPEEDTEST_DATA_DIR": str(tmp_path / "data"), **environment,
            },
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


def simple(on: list[str], to: Path) -> list[Job]:
    """Of options that the fake machine can keep."""
    return job.jobs_of(from_keywords(models=["tiny.en"]), on=on, repeat=2, to=str(to))


def written(text: str, path: Path) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("shell", ["bash", "dash"])
@pytest.mark.parametrize("engine", ["ssh", "slurm"])
def test_shells_can_read_the_scripts(tmp_path: Path, engine: str, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    script = written(emit.ENGINES[engine](jobs(device='it\'s $HOME "x"')).text, tmp_path / "a.sh")

    subprocess.run([shell, "-n", str(script)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(script)], check=True)


def test_ssh_measures_on_each_machine_and_brings_bundles_that_are_valid(
    machine: Callable[..., Answer], tmp_path: Path
) -> None:
    to = tmp_path / "the bundles"
    wanted = simple(["node=mini", "node=studio,memory>=8G"], to)
    emitted = emit.ssh(wanted)
    script = written(emitted.text, tmp_path / "jobs.sh")

    answer = machine("sh", script)

    assert answer.code == 0, answer.err
    names = [storage.parse_name(path.name) for path in to.iterdir()]
    assert {each.id for each in names if each} == {each.id for each in wanted}
    for path in to.iterdir():
        assert read.read_bundle(path).cells
    said = (tmp_path / "programs" / "ssh.log").read_text(encoding="utf-8")
    assert len(re.findall(r"^-n -o BatchMode=yes -- (?:mini|studio) ", said, re.MULTILINE)) == 4
    assert emitted.notes == ("memory>=8G is not checked by ssh",)

    again = machine("bash", script)  # nothing is measured twice
    assert again.code == 0
    assert again.err.count("is there") == 4
    assert len(list(to.iterdir())) == 4


def test_a_machine_that_ssh_does_not_reach_costs_its_own_jobs_only(
    machine: Callable[..., Answer], tmp_path: Path
) -> None:
    to = tmp_path / "bundles"
    script = written(emit.ssh(simple(["node=broken", "node=mini"], to)).text, tmp_path / "jobs.sh")

    answer = machine("dash" if shutil.which("dash") else "sh", script, REMOTE_SHELL="bash")

    assert answer.code == 3
    assert answer.err.count("FAILED") == 2
    assert len([*to.iterdir()]) == 2
    assert all(storage.parse_name(path.name) for path in to.iterdir())


def test_slurm_submits_an_array_for_each_set_of_constraints(
    machine: Callable[..., Answer], tmp_path: Path
) -> None:
    to = tmp_path / "bundles"
    wanted = simple(["memory>=16G,cores>=8,arch=arm64,chip=M4,power=mains", "gpu=~*4090*"], to)
    emitted = emit.slurm(wanted)

    answer = machine("sh", written(emitted.text, tmp_path / "jobs.sh"))

    assert answer.code == 0, answer.err
    said = (tmp_path / "programs" / "sbatch.log").read_text(encoding="utf-8").splitlines()
    assert said[0].startswith("--array=0-1 ")
    assert "--cpus-per-task=8" in said[0]
    assert "--mem=16G" in said[0]
    assert "--constraint=arm64&M4&mains" in said[0]
    assert said[1].startswith("--array=0-1 --gres=gpu:1 ")
    assert {path.name.partition(".")[0] for path in to.iterdir()} == {each.id for each in wanted}
    assert emitted.notes == ("gpu=~*4090* is not checked by Slurm",)


@pytest.mark.parametrize(
    ("engine", "on", "to", "said"),
    [
        ("ssh", "memory>=16G", "/b", "names none"),
        ("ssh", "node!=mini", "/b", "names none"),
        ("ssh", "node=-oProxyCommand=evil", "/b", "no host"),
        ("ssh", "node=a;b", "/b", "no host"),
        ("ssh", "node=mini", "s3://bucket/x", "no folder"),
        ("slurm", "node=mini", "s3://bucket/x", "no folder"),
        ("github", "warmth=3", "/b", "warmth"),
    ],
)
def test_what_an_engine_cannot_do_is_said(engine: str, on: str, to: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        emit.ENGINES[engine](jobs([on], to))


@pytest.mark.parametrize("engine", emit.ENGINES)
def test_the_command_prints_the_file_and_notes_apart(speedtest: Call, engine: str) -> None:
    on = ["--on", "node=mini,memory>=16G", "--on", "node=studio,power=mains"]
    to = ["--to", "/shared/the bundles"]
    answer = speedtest("fleet", "emit", f"--{engine}", "--model", "tiny.en", *on, *to)

    (first, *_) = job.jobs_of(
        from_keywords(models=["tiny.en"], retake=False),  # as the tests' environment has it
        on=[on[1], on[3]],
        to="/shared/the bundles",
    )
    assert answer.code == 0, answer.err
    assert first.id in answer.out
    assert ("is not checked by" in answer.err) == (engine != "slurm")
    assert "not checked" not in answer.out


def test_the_command_needs_an_engine_and_machines(speedtest: Call) -> None:
    common = ["fleet", "emit", "--model", "tiny.en", "--to", "/b"]

    assert "--github, --ssh or --slurm" in speedtest(*common, "--on", "node=a").err
    answer = speedtest(*common, "--ssh")
    assert (answer.code, "--on node=NAME" in answer.err) == (2, True)
