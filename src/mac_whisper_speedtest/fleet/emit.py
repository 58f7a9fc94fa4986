"""The jobs of ``fleet run`` for what people already have: GitHub's runners, ssh, or Slurm.

Each job is one ``speedtest run`` and one bundle, named as in a fleet's storage, so that ``fleet
collect`` finds it and ``fleet run`` does not measure it again. Nothing emitted has a secret.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mac_whisper_speedtest import request
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.fleet import labels
from mac_whisper_speedtest.fleet.job import Job
from mac_whisper_speedtest.fleet.labels import Constraint
from mac_whisper_speedtest.option import arguments_of

UPLOAD = "actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f # v7.0.0"
"""As in this project's own workflows; a test compares them."""

_HOURS = 6
"""What GitHub and many clusters give a job at most."""
_RUNNER_LABELS = {
    ("os", "macos"): "macOS",
    ("os", "linux"): "Linux",
    ("arch", "arm64"): "ARM64",
    ("arch", "aarch64"): "ARM64",
    ("arch", "x86_64"): "X64",
}
"""Those that GitHub gives a self-hosted runner by itself; others are given by its owner."""


class Emitted(NamedTuple):
    """A file for another engine.

    Attributes:
        text: its content.
        notes: what the engine does not check, one line each.
    """

    text: str
    notes: tuple[str, ...]


def _tag(job: Job) -> str:
    return f"fleet-{job.id[:16]}"


def run_command(job: Job) -> str:
    """The command that measures a job, quoted for a POSIX shell."""
    asked = arguments_of(job.asked(), request.OPTIONS, request.default_of)
    return shlex.join(["speedtest", "run", "--quiet", *asked, "--tag", _tag(job)])


def _measured(job: Job, bundle: str) -> str:
    """A shell's commands that measure a job and write its bundle.

    Failed cells are a result (3, 4); anything else than a run leaves no bundle.
    """
    return (
        f"{run_command(job)}; code=$?; "
        'case "$code" in 0|3|4) ;; *) exit "$code" ;; esac; '
        f"speedtest results bundle {_tag(job)} -o {bundle}"
    )


def _constraints(job: Job) -> tuple[Constraint, ...]:
    return labels.parse(job.on)


def _notes(left: Iterable[Constraint], engine: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{each} is not checked by {engine}" for each in left))


# GitHub


def github(jobs: Sequence[Job]) -> Emitted:
    """A workflow for self-hosted runners, one job of its matrix for each of ours."""
    left: list[Constraint] = []
    matrix = []
    for job in jobs:
        entry = {
            "id": job.id,
            "runner": ["self-hosted", *_runner_labels(job, left)],
            "measure": _measured(job, "bundle.zip"),
        }
        matrix.append(json.dumps(entry))
    if any("${{" in each for each in matrix):
        raise UsageError(
            "an option contains ${{, which GitHub would replace", hint="leave it out of the request"
        )
    entries = "".join(f"          - {each}\n" for each in matrix)
    return Emitted(_WORKFLOW.replace("ENTRIES\n", entries), _notes(left, "GitHub"))


def _runner_labels(job: Job, left: list[Constraint]) -> Iterator[str]:
    for each in _constraints(job):
        if each.operator == "=" and each.key in {"node", "chip", "gpu", "os", "arch"}:
            yield _RUNNER_LABELS.get((each.key, each.value.lower()), each.value)
        else:
            left.append(each)


_WORKFLOW = f"""\
# Jobs of a fleet on self-hosted runners that have speedtest on their PATH. A runner does one job at
# a time; it must be alone on its machine, and must never run what a pull request brings.
name: speedtest-fleet
on:
  workflow_dispatch:
permissions: {{}}
concurrency:
  group: speedtest-fleet
jobs:
  measure:
    strategy:
      fail-fast: false
      matrix:
        include:
ENTRIES
    runs-on: ${{{{ matrix.runner }}}}
    timeout-minutes: {_HOURS * 60}
    steps:
      - name: Measure
        env:
          MEASURE: ${{{{ matrix.measure }}}}
        run: rm -f bundle.zip; sh -c "$MEASURE"
      - name: Name the bundle as in a fleet's storage
        env:
          ID: ${{{{ matrix.id }}}}
        run: |
          hash=$( (sha256sum bundle.zip || shasum -a 256 bundle.zip) 2>/dev/null | cut -c 1-64)
          rm -rf bundles
          mkdir bundles
          mv bundle.zip "bundles/$ID.1.$hash.zip"
      - uses: {UPLOAD}
        with:
          name: ${{{{ matrix.id }}}}
          path: bundles
"""


# ssh


_SHELL_STORE = """\
sha256() { (sha256sum "$1" || shasum -a 256 "$1") 2>/dev/null | cut -c 1-64; }
there() { for each in "$to/$1".*.zip; do [ -e "$each" ] && return 0; done; return 1; }
store() {  # a bundle appears whole, under its hash
    mv "$2" "$to/.$1.part" && mv "$to/.$1.part" "$to/$1.1.$(sha256 "$to/.$1.part").zip"
}
"""


_REMOTE = (
    'PATH="$PATH:$HOME/.local/bin:/opt/homebrew/bin"; d=$(mktemp -d) || exit 5; '
    '(MEASURED) 1>&2 && cat "$d/b.zip"; code=$?; rm -rf "$d"; exit "$code"'
)
"""What a machine does for a job: measure, and write the bundle to stdout."""


def ssh(jobs: Sequence[Job]) -> Emitted:
    """A shell script: one job after the other on each machine, the machines side by side."""
    to = _folder(jobs)
    left: list[Constraint] = []
    by_host: dict[str, list[str]] = {}
    for job in jobs:
        found = {each.key: each for each in _constraints(job) if str(each).startswith("node=")}
        if not found:
            raise UsageError(
                f"ssh needs a machine: --on {','.join(job.on)} names none",
                hint="add node=HOST to it, with a name that ssh knows",
            )
        host = found["node"].value
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", host):
            raise UsageError(f"{host!r} is no host of ssh", hint="name it in ~/.ssh/config")
        left += [each for each in _constraints(job) if each.key != "node"]
        commands = shlex.quote(_REMOTE.replace("MEASURED", _measured(job, '"$d/b.zip"')))
        remote = shlex.quote(f"exec sh -c {commands}")  # whatever the shell of the user there is
        by_host.setdefault(host, []).append(f"    measure {host} {job.id} {remote}")
    hosts = "".join(
        f"\nhost_{number}() {{  # {host}\n    code=0\n"
        + "".join(f"{line} || code=1\n" for line in lines)
        + "    return $code\n}\n"
        for number, (host, lines) in enumerate(by_host.items())
    )
    starts = "".join(f'host_{number} & pids="$pids $!"\n' for number in range(len(by_host)))
    text = f"""\
#!/bin/sh
# Jobs of a fleet over ssh. Bundles come to the folder below; what is there is not measured again.
set -u
to={shlex.quote(to)}
mkdir -p "$to" || exit 5
work=$(mktemp -d) || exit 5
trap 'rm -rf "$work"' EXIT
{_SHELL_STORE}\
measure() {{  # HOST ID COMMAND
    if there "$2"; then
        echo "$1: $2 is there" >&2
        return 0
    fi
    echo "$1: $2 begins" >&2
    if ssh -n -o BatchMode=yes -- "$1" "$3" > "$work/$2.zip"; then
        store "$2" "$work/$2.zip" && echo "$1: $2 is done" >&2 && return 0
    fi
    echo "$1: $2 FAILED" >&2
    return 1
}}
{hosts}
pids=""
{starts}code=0
for each in $pids; do wait "$each" || code=3; done
exit $code
"""
    return Emitted(text, _notes(left, "ssh"))


def _folder(jobs: Sequence[Job]) -> str:
    """Where the bundles go, which is a folder."""
    to = jobs[0].to
    if "://" in to:
        raise UsageError(
            f"--to {to} is no folder", hint="name a folder; what is in it can be copied later"
        )
    return to


# Slurm


def slurm(jobs: Sequence[Job]) -> Emitted:
    """A script that submits itself: one array for each set of constraints, a task for each job."""
    to = _folder(jobs)
    left: list[Constraint] = []
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.on, []).append(job)
    submits, tasks = [], []
    for number, (on, members) in enumerate(groups.items()):
        options = shlex.join(_sbatch_options(_constraints(members[0]), left))
        submits.append(f"    # {', '.join(on)}\n")
        submits.append(f'    sbatch --array=0-{len(members) - 1} {options} "$0" {number}\n')
        for task, job in enumerate(members):
            measured = _measured(job, '"$work/$id.zip"')
            tasks.append(f"    {number}.{task})\n        id={job.id}\n")
            tasks.append(
                f"        there $id && exit 0\n        ({measured}) || exit $?\n        ;;\n"
            )
    text = f"""\
#!/bin/sh
# Jobs of a fleet on Slurm: sh THIS_FILE submits them. Every node has speedtest on its PATH.
#SBATCH --job-name=speedtest-fleet
#SBATCH --exclusive
#SBATCH --time={_HOURS}:00:00
#SBATCH --output=speedtest-%A_%a.log
set -u
to={shlex.quote(to)}
if [ -z "${{SLURM_ARRAY_TASK_ID:-}}" ]; then
    mkdir -p "$to" || exit 5
{"".join(submits)}\
    exit
fi
work=$(mktemp -d) || exit 5
trap 'rm -rf "$work"' EXIT
{_SHELL_STORE}\
case "$1.$SLURM_ARRAY_TASK_ID" in
{"".join(tasks)}\
    *) exit 2 ;;
esac
store "$id" "$work/$id.zip"
"""
    return Emitted(text, _notes(left, "Slurm"))


def _sbatch_options(asked: Iterable[Constraint], left: list[Constraint]) -> Iterator[str]:
    features = []
    for each in asked:
        size = re.fullmatch(r"(\d+)([KMGT])i?B?", each.value, re.IGNORECASE)
        if each.key == "memory" and each.operator == ">=" and size:
            yield f"--mem={size[1]}{size[2].upper()}"
        elif each.key == "cores" and each.operator == ">=":
            yield f"--cpus-per-task={each.value}"
        elif each.key == "node" and each.operator == "=":
            yield f"--nodelist={each.value}"
        elif each.key == "gpu" and each.operator in {"=", "=~"}:
            yield "--gres=gpu:1"
            left.append(each)
        elif each.operator == "=" and re.fullmatch(r"[\w.-]+", each.value):
            features.append(each.value)
        else:
            left.append(each)
    if features:
        yield f"--constraint={'&'.join(features)}"


ENGINES: Mapping[str, Callable[[Sequence[Job]], Emitted]] = {
    "github": github,
    "ssh": ssh,
    "slurm": slurm,
}
