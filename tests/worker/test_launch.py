"""What a worker process is given, and what it must not be given."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import pytest

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.recipe import Recipe, SwiftRecipe
from mac_whisper_speedtest.environments import environments
from mac_whisper_speedtest.worker import exit_status, ownership, process_tree
from mac_whisper_speedtest.worker.exit_status import Status
from mac_whisper_speedtest.worker.launch import launch, not_installed, program
from mac_whisper_speedtest.worker.protocol import Stage

PROGRAM = Backend(name="p", command=("engine",))


SECRETS = [
    *("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "DEPLOY", "SSH_AUTH_SOCK", "BASH_ENV"),
    *("HTTPS_PROXY", "https_proxy", "NVIDIA_API_KEY", "CUDA_MIRROR_PASSWORD", "PYTHON_KEYRING_KEY"),
]
NEEDED = [
    *("PATH", "HOME", "LC_ALL", "HF_HOME", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"),
    *("MKL_NUM_THREADS", "GGML_METAL_PATH_RESOURCES", "PYTORCH_ENABLE_MPS_FALLBACK"),
]


def test_a_worker_sees_what_it_needs_and_none_of_the_other_variables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "hunter2-hunter2")
    for name in NEEDED[2:]:
        monkeypatch.setenv(name, "C")
    monkeypatch.setenv("HF_ENDPOINT", "https://me:hunter2-hunter2@hub.example")
    monkeypatch.setenv("ENGINE_LICENSE", "of the engine")
    engine = replace(PROGRAM, environment={"OWN": "1"}, variables=("ENGINE_LICENSE", "NOT_SET"))
    started = launch(engine, scratch=tmp_path, threads=3)
    assert started is not None
    done = subprocess.run(
        ["env", "-0"], env=dict(started.environment), capture_output=True, text=True, check=True
    )
    seen = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    assert not set(SECRETS) & set(seen)
    assert "hunter2" not in done.stdout
    assert set(NEEDED) <= set(seen)
    assert (seen["OWN"], seen["ENGINE_LICENSE"]) == ("1", "of the engine")
    assert "NOT_SET" not in seen


def test_a_worker_is_told_to_stay_offline_and_where_to_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    started = launch(PROGRAM, scratch=tmp_path, threads=3)
    assert started is not None
    assert started.environment["HF_HUB_OFFLINE"] == "1"
    assert started.environment["OMP_NUM_THREADS"] == "3"
    assert started.environment["VECLIB_MAXIMUM_THREADS"] == "3"  # Accelerate's
    assert started.environment["TMPDIR"] == str(tmp_path)
    assert started.cwd == tmp_path


def test_what_limits_the_threads_of_libraries_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VECLIB_MAXIMUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    engine = replace(PROGRAM, environment={"OMP_NUM_THREADS": "7"})
    started = launch(engine, scratch=tmp_path, threads=3)
    assert started is not None
    found = started.thread_variables
    assert found["VECLIB_MAXIMUM_THREADS"] == "3"
    assert (found["MKL_NUM_THREADS"], found["OMP_NUM_THREADS"]) == ("2", "7")
    assert "PATH" not in found


def test_every_worker_has_a_mark_of_its_own_that_names_its_living_owner(tmp_path: Path) -> None:
    one = launch(PROGRAM, scratch=tmp_path, threads=1)
    two = launch(PROGRAM, scratch=tmp_path, threads=1)
    assert one is not None
    assert two is not None
    assert one.mark != two.mark
    namespace, pid, started, _ = one.mark.split("-")
    assert ownership._owner_lives(one.mark)
    assert not ownership._owner_lives(f"{namespace}-{pid}-{int(started) - 100}-x")
    assert ownership._owner_lives(f"1{namespace}-{pid}-{int(started) - 100}-x")  # elsewhere


def test_a_backend_that_is_installed_nowhere_has_no_program() -> None:
    assert program(Backend(name="x", adapter="x:X", import_name="no_such_module")) is None


def test_a_backend_that_is_importable_here_runs_here() -> None:
    assert program(Backend(name="x", adapter="x:X", import_name="json")) == sys.executable


HERE = metadata.version("pytest")
BRIDGE = SwiftRecipe("bridge", "1.0", package="bridge", product="speedtest-bridge")
RECIPE = Recipe("testing", "pytest", HERE, platforms=(sys.platform,))
TESTING = Backend(name="t", adapter="x:X", import_name="pytest", recipe=RECIPE)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every version has an environment."""
    monkeypatch.setattr(
        environments, "python_of", lambda recipe, version: f"{recipe.name}@{version}/python"
    )


@pytest.mark.parametrize(
    ("asked", "python"),
    [
        ({}, sys.executable),
        ({"version": HERE}, sys.executable),
        ({"version": "0.1"}, "testing@0.1/python"),
        ({"version": HERE, "managed": True}, f"testing@{HERE}/python"),
        ({"managed": True}, f"testing@{HERE}/python"),
        ({"import_name": "no_such_module"}, f"testing@{HERE}/python"),
        ({"python": "/my/python", "managed": True}, "/my/python"),
        ({"recipe": None}, sys.executable),
        ({"recipe": None, "managed": True}, None),
        ({"recipe": None, "version": "1"}, None),
    ],
)
@pytest.mark.usefixtures("made")
def test_a_version_or_a_managed_environment_is_run_from_where_it_is(
    asked: dict[str, Any], python: str | None
) -> None:
    assert program(replace(TESTING, **asked)) == python


def test_a_library_of_another_name_than_the_recipe_s_distribution_has_no_version_here() -> None:
    other = replace(TESTING, recipe=replace(RECIPE, distribution="no-such-distribution"))
    assert program(other) == sys.executable
    assert program(replace(other, version=HERE)) is None


@pytest.mark.parametrize(
    ("backend", "why"),
    [
        (TESTING, "not installed — speedtest backends install t"),
        (replace(TESTING, version="0.1"), "not installed — speedtest backends install t@0.1"),
        (
            replace(TESTING, version="0.1", precision="int8"),
            "not installed — speedtest backends install t@0.1",
        ),
        (
            Backend("b", version="0.1", recipe=replace(BRIDGE, platforms=(sys.platform,))),
            "not available: this release of the tool supports bridge 1.0",
        ),
        (
            replace(TESTING, recipe=replace(RECIPE, platforms=("beos",))),
            "not for this machine: beos only",
        ),
        (
            replace(TESTING, recipe=None),
            "not installed — pytest cannot be imported; install it by hand",
        ),
        (
            replace(TESTING, recipe=None, managed=True),
            "not installed — the tool has no recipe to create an environment for it",
        ),
    ],
)
def test_a_missing_backend_is_told_with_the_command_to_type(backend: Backend, why: str) -> None:
    assert not_installed(backend) == why


def test_killing_takes_processes_that_left_the_session(tmp_path: Path) -> None:
    started = launch(PROGRAM, scratch=tmp_path, threads=1)
    assert started is not None
    code = (
        "import subprocess, sys, time\n"
        "child = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "subprocess.Popen(child, start_new_session=True)\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=dict(started.environment),
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        family = ownership.marked_processes(started.mark)
        assert len(family) == 2
        process_tree.kill(process.pid, started.mark)
    gone, alive = psutil.wait_procs(family, timeout=10)
    assert (len(gone), alive) == (2, [])


@pytest.mark.parametrize(
    ("returncode", "kills", "status", "error_class"),
    [
        (-11, 0, Status.CRASHED, "SIGSEGV"),
        (-9, 0, Status.CRASHED, "SIGKILL"),
        (-9, 1, Status.OUT_OF_MEMORY, "KernelOutOfMemory"),
        (-6, 1, Status.CRASHED, "SIGABRT"),
        (0, 0, Status.PROTOCOL_VIOLATION, "SilentExit"),
        (3, 0, Status.CRASHED, "Exit"),
    ],
)
def test_an_exit_is_classified_by_its_status_and_the_kernel_s_count(
    returncode: int, kills: int, status: Status, error_class: str
) -> None:
    ending = exit_status.from_returncode(returncode, Stage.LOAD, oom_kills=kills)
    assert (ending.status, ending.error_class, ending.stage) == (status, error_class, "load")
