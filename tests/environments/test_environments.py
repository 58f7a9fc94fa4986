"""An environment is complete or absent: after kills, full disks, wrong hashes, two at once."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from conftest import wait_until
from mac_whisper_speedtest.backends import recipe as recipes
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.recipe import Recipe, this_platform
from mac_whisper_speedtest.environments import (
    builds,
    environments,
    installations,
    locks,
    store,
    uv,
)
from mac_whisper_speedtest.environments.builds import NvidiaDriver
from mac_whisper_speedtest.errors import ExitCode, SpeedtestError, StorageError, UsageError
from mac_whisper_speedtest.worker.launch import launch

TINY = Recipe(name="tiny", distribution="tiny-lib", version="1.0", platforms=(sys.platform,))
INSTALL = (
    "import sys\n"
    "from mac_whisper_speedtest.backends.backend import Recipe\n"
    "from mac_whisper_speedtest.interrupts import as_keyboard_interrupt\n"
    "from mac_whisper_speedtest.environments import environments\n"
    "tiny = Recipe('tiny', 'tiny-lib', '1.0', platforms=(sys.platform,))\n"
    "with as_keyboard_interrupt():\n"
    "    environments.install(tiny, notify=lambda text: print(text, flush=True))\n"
)


def wheel(folder: Path, version: str, *, requires: str = "", name: str = "tiny-lib") -> Path:
    """A wheel of a library, which knows its version and does nothing."""
    module = name.replace("-", "_")
    path = folder / f"{module}-{version}-py3-none-any.whl"
    info = f"{module}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    files = {
        f"{module}/__init__.py": f"__version__ = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for file, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
        record += f"{file},sha256={digest.rstrip(b'=').decode()},{len(text.encode())}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def lock_for(path: Path, version: str) -> Path:
    """Save a lock of that wheel in the user's folder."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    text = f"tiny-lib=={version} \\\n    --hash=sha256:{digest}\n"
    return locks.save(locks.Lock("tiny", version, text))


def away_from_every_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate home, and a folder of wheels that uv uses instead of an index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    return folder


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return away_from_every_index(tmp_path, monkeypatch)


@pytest.fixture
def locked(wheels: Path) -> Path:
    """The wheel of 1.0, and its lock."""
    path = wheel(wheels, "1.0")
    lock_for(path, "1.0")
    return path


def install(version: str = "", **options: object) -> tuple[environments.Environment, list[str]]:
    """Install tiny; also return the reported lines."""
    lines: list[str] = []
    made = environments.install(TINY, version, notify=lines.append, **options)  # type: ignore[arg-type]
    return made, lines


def left() -> list[str]:
    """The names in the folder of environments, except lock files."""
    return sorted(path.name for path in environments.root().iterdir() if path.suffix != ".lock")


def version_from(python: str) -> str:
    code = "import tiny_lib; print(tiny_lib.__version__)"
    return subprocess.run(
        [python, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


# --- making one --------------------------------------------------------------------------------


@pytest.mark.usefixtures("locked")
def test_an_installed_environment_runs_its_library_and_says_what_it_is() -> None:
    assert environments.python_of(TINY, "1.0") is None
    made, lines = install()
    assert environments.python_of(TINY, "1.0") == made.interpreter
    assert version_from(made.interpreter) == "1.0"
    mark = json.loads((made.path / "environment.json").read_text(encoding="utf-8"))
    assert (mark["recipe"], mark["version"], mark["torch"]) == ("tiny", "1.0", "")
    assert mark["size_bytes"] > 1000
    assert lines[0] == "tiny 1.0: downloading and installing 1 packages"
    assert lines[1].startswith("tiny 1.0: done in ")
    assert left() == [made.path.name]


@pytest.mark.usefixtures("locked")
def test_a_worker_keeps_what_it_compiles_in_its_environment_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    made, _ = install()
    backend = Backend(name="tiny", adapter="x:X", import_name="tiny_lib", recipe=TINY)
    started = launch(backend, scratch=tmp_path, threads=1)
    assert started is not None
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "mine.py").write_text("")
    code = f"import sys; sys.path.append({str(beside)!r}); import mine, tiny_lib"
    subprocess.run([started.argv[0], "-P", "-c", code], env=started.environment, check=True)
    assert len(list((made.path / "bytecode").rglob("tiny_lib/__init__.*.pyc"))) == 1
    assert not list((made.path / "lib").rglob("*.pyc"))
    assert [path.name for path in beside.iterdir()] == ["mine.py"]


@pytest.mark.usefixtures("locked")
def test_installing_again_does_nothing() -> None:
    first, _ = install()
    second, lines = install()
    assert (second, lines) == (first, ["tiny 1.0 is already installed"])


@pytest.mark.usefixtures("locked")
def test_which_build_was_chosen_is_said_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "nvidia_driver", lambda: NvidiaDriver("470.256.02"))
    lines: list[str] = []
    environments.install(replace(TINY, uses_cublas=True), notify=lines.append)
    assert lines[0] == "tiny 1.0: for the CPU: NVIDIA's driver 470.256.02 is older than 525"


def test_two_versions_exist_side_by_side_with_their_own_interpreters(wheels: Path) -> None:
    made = {}
    for version in ("1.0", "2.0"):
        lock_for(wheel(wheels, version), version)
        made[version] = install(version)[0].interpreter
    assert {version: version_from(python) for version, python in made.items()} == {
        "1.0": "1.0",
        "2.0": "2.0",
    }
    assert [each.version for each in environments.of_recipe(TINY)] == ["1.0", "2.0"]


def test_a_version_without_a_lock_is_locked_first(wheels: Path) -> None:
    wheel(wheels, "3.0")
    made, lines = install("3.0")
    assert version_from(made.interpreter) == "3.0"
    assert lines[0] == "no lock for tiny 3.0 yet: resolving its requirements"
    assert locks.read_lock(TINY, "3.0") is not None


def test_a_version_that_does_not_exist_is_a_wrong_request(locked: Path) -> None:
    with pytest.raises(UsageError, match=r"tiny-lib 9\.9 cannot be locked") as caught:
        install("9.9")
    assert "1.0" in caught.value.hint
    assert not environments.root().exists()


def test_another_lock_for_the_same_version_means_another_environment(locked: Path) -> None:
    first, _ = install()
    lock = locks.read_lock(TINY, "1.0")
    assert lock is not None
    locks.save(locks.Lock("tiny", "1.0", f"# looked through\n{lock.text}"))
    assert environments.python_of(TINY, "1.0") is None
    assert install()[0].path != first.path


# --- what may go wrong -------------------------------------------------------------------------


def test_a_package_with_another_hash_is_refused_and_nothing_stays(locked: Path) -> None:
    locks.save(locks.Lock("tiny", "1.0", "tiny-lib==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"))
    with pytest.raises(SpeedtestError, match=r"uv pip failed: .*[Hh]ash mismatch"):
        install()
    assert environments.python_of(TINY, "1.0") is None
    assert left() == []


@pytest.mark.usefixtures("locked")
def test_too_little_space_is_reported_with_both_sizes_before_anything_is_written() -> None:
    with pytest.raises(StorageError) as caught:
        install(free_bytes=lambda _folder: 199_999_999)
    assert "tiny needs 200 MB (200000000 bytes)" in caught.value.message
    assert "(199999999 bytes) are free" in caught.value.message
    assert str(environments.root()) in caught.value.message
    assert caught.value.exit_code is ExitCode.STORAGE
    assert left() == []


def test_a_failure_on_a_disk_that_is_full_by_then_is_a_storage_error(locked: Path) -> None:
    locked.unlink()
    free = iter([10**12, 4096])
    with pytest.raises(StorageError, match="became full while tiny"):
        install(free_bytes=lambda _folder: next(free))
    assert left() == []


@pytest.mark.usefixtures("locked")
def test_a_recipe_for_other_machines_is_refused_with_their_names() -> None:
    other = Recipe("tiny", "tiny-lib", "1.0", platforms=("beos", "amiga-m68k"))
    expected = rf"tiny: beos and amiga-m68k only \(this is {this_platform()}"
    with pytest.raises(UsageError, match=expected):
        installations.install(other, notify=print, greet=lambda _command: "")


def test_a_range_that_no_python_here_is_in_is_reported() -> None:
    future = Recipe("tiny", "tiny-lib", "1.0", python=">=3.99", platforms=(sys.platform,))
    with pytest.raises(UsageError, match=r"tiny needs Python >=3\.99; this is 3\."):
        environments.install(future, notify=print)


@pytest.mark.usefixtures("locked")
def test_an_environment_without_its_marker_or_python_does_not_count_and_is_rebuilt() -> None:
    made, _ = install()
    for spoil in (made.path / "environment.json", made.path / "bin" / "python"):
        spoil.unlink()
        assert environments.python_of(TINY, "1.0") is None
        assert version_from(install()[0].interpreter) == "1.0"


@pytest.mark.usefixtures("locked")
def test_removing_frees_what_uv_s_cache_does_not_hold_and_leaves_nothing() -> None:
    made, _ = install()
    mark = (made.path / store.MARKER).stat().st_size  # written after the size was known
    assert 0 < store.remove(made.path) <= made.size_bytes + mark
    assert left() == []
    assert environments.of_recipe(TINY) == []


# --- killed, interrupted, two at once ----------------------------------------------------------


class Index:
    """A package index that blocks every request until it is opened."""

    def __init__(self, file: Path) -> None:
        self.asked = threading.Event()
        self.open = threading.Event()
        self.downloads = 0
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.set()
                index.open.wait(60)
                if self.path.endswith(".whl"):
                    index.downloads += 1
                    body, kind = file.read_bytes(), "application/octet-stream"
                else:
                    body = f'<a href="/{file.name}">{file.name}</a>'.encode()
                    kind = "text/html"
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the client may have been killed
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/simple"


@pytest.fixture
def index(locked: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """A slow index instead of the folder of wheels."""
    slow = Index(locked)
    monkeypatch.setenv("UV_DEFAULT_INDEX", slow.address)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "300")
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.delenv("UV_NO_INDEX")
    yield slow
    slow.open.set()
    slow.server.shutdown()
    slow.server.server_close()


@pytest.fixture
def started() -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start installs as separate processes; none outlives the test."""
    processes = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", INSTALL], stdout=-1, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_killed_install_leaves_nothing_that_counts_and_the_next_call_recovers(
    index: Index, started: Callable[[], subprocess.Popen[str]]
) -> None:
    process = started()
    assert index.asked.wait(60)
    orphans = psutil.Process(process.pid).children()
    assert environments.python_of(TINY, "1.0") is None
    process.kill()
    process.wait()
    (staging,) = left()
    assert staging.startswith(".tiny@1.0-")
    assert environments.python_of(TINY, "1.0") is None
    index.open.set()
    psutil.wait_procs(orphans, timeout=30)  # uv itself was not killed, and comes to an end
    made, _ = install()
    assert version_from(made.interpreter) == "1.0"
    assert left() == [made.path.name]


def test_the_install_of_one_version_sweeps_what_a_killed_install_of_another_left(
    index: Index, started: Callable[[], subprocess.Popen[str]], wheels: Path
) -> None:
    lock_for(wheel(wheels, "2.0"), "2.0")
    process = started()
    assert index.asked.wait(60)
    offline = {
        "UV_FIND_LINKS": str(wheels),
        "UV_NO_INDEX": "1",
        "UV_CACHE_DIR": str(wheels.parent / "uv2"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in offline.items():
            patch.setenv(name, value)
        patch.delenv("UV_DEFAULT_INDEX")
        install("2.0")
        assert len(left()) == 2, "an install that is under way must not be swept"
        for child in psutil.Process(process.pid).children():
            child.kill()
        process.kill()
        process.wait()
        store.remove(environments.of_recipe(TINY)[0].path)
        made, _ = install("2.0")
    assert left() == [made.path.name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_install_leaves_nothing(
    index: Index, started: Callable[[], subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = started()
    assert index.asked.wait(60)
    uv = psutil.Process(process.pid).children()
    process.send_signal(number)
    assert process.wait(30) != 0
    assert left() == []
    assert [each for each in uv if each.is_running()] == []


def test_of_two_installs_at_once_the_second_waits_and_finds_it_done(
    index: Index, started: Callable[[], subprocess.Popen[str]]
) -> None:
    first = started()
    assert index.asked.wait(60)
    second = started()
    assert second.stdout is not None
    assert "being installed by another process: waiting" in second.stdout.readline()
    index.open.set()
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert "done in" in outputs[0]
    assert outputs[1] == "tiny 1.0 is already installed\n"
    assert index.downloads == 1
    wait_until(lambda: len(left()) == 1)


# --- torch -------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the index's torch has CUDA only on Linux")
@pytest.mark.parametrize(
    ("wheel_name", "nvidia", "expected"),
    [
        ("torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl", False, "cpu"),
        ("torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl", True, "index"),
        ("torch-2.13.0+cu130-cp311-cp311-linux_x86_64.whl", False, "index"),
        ("torch-2.13.0+cpu-cp312-cp312-linux_x86_64.whl", False, "index"),
        ("torch-2.13.0+cpu-cp311-cp311-win_amd64.whl", False, "index"),
        ("torch-notes.txt", False, "index"),
    ],
)
def test_torch_s_cpu_build_is_taken_where_it_fits_and_no_nvidia_driver_is(
    wheels: Path, monkeypatch: pytest.MonkeyPatch, wheel_name: str, nvidia: bool, expected: str
) -> None:
    (wheels / wheel_name.replace("x86_64", this_platform().partition("-")[2])).touch()
    driver = NvidiaDriver("590.44.01") if nvidia else None
    monkeypatch.setattr(builds, "nvidia_driver", lambda: driver)
    recipe = Recipe("t", "t", "1", uses_torch=True)
    python = uv.Python(sys.executable, "3.11.7")
    assert uv.wheel_folders() == [wheels]
    assert environments.choose_build(recipe, "auto", python).name == expected


def test_the_index_s_torch_counts_as_larger_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe("t", "t", "1", uses_torch=True, size_bytes=900)
    monkeypatch.setattr(recipes, "this_platform", lambda: "linux-x86_64")
    assert recipe.bytes_here("cpu") == 900
    assert recipe.bytes_here("index") > 5e9
    monkeypatch.setattr(recipes, "this_platform", lambda: "darwin-arm64")
    assert recipe.bytes_here("index") == 900
    smaller = Recipe("t", "t", "1", size_bytes=900, size_on={"darwin-arm64": 100})
    assert smaller.bytes_here() == 100
