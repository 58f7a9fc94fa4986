"""Loading weights to see whether they load: every way it can end, and the network always refused.

Real workers, and a listener that counts who gets through to it.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import FAKES, describe_fake, wait_until
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.adapter import ModelParams
from mac_whisper_speedtest.backends.backend import NO_HUB, Backend
from mac_whisper_speedtest.weights import locate
from mac_whisper_speedtest.worker import isolation, load_check, process_tree
from mac_whisper_speedtest.worker.exit_status import Status, WorkerExit
from mac_whisper_speedtest.worker.load_check import LoadCheck, LoadOutcome, Trial
from mac_whisper_speedtest.worker.process_tree import TreeUsage

HUNGRY = "hungry:Hungry"
needs_isolation = pytest.mark.skipif(
    bool(isolation.reason_not_blocked()), reason="this system keeps no program off the network"
)
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")


class Listener:
    """Somebody to talk to, who counts how often that happens."""

    def __init__(self) -> None:
        self.reached = 0
        self._stream = socket.create_server(("127.0.0.1", 0))
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._stream.getsockname()[1]}"
        self.datagram_address = f"127.0.0.1:{self._datagrams.getsockname()[1]}"
        self._threads = [
            threading.Thread(target=self._accept, daemon=True),
            threading.Thread(target=self._receive, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _accept(self) -> None:
        try:
            while True:
                connection, _ = self._stream.accept()
                self.reached += 1
                connection.close()
        except OSError:
            return  # closed

    def _receive(self) -> None:
        try:
            while self._datagrams.recvfrom(100)[0]:
                self.reached += 1
        except OSError:
            return

    def close(self) -> None:
        # shutdown wakes the thread that waits; a datagram of nothing ends the other.
        self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._datagrams.sendto(b"", self._datagrams.getsockname())
        for thread in self._threads:
            thread.join(5)
        self._datagrams.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every check must leave its temporary folder empty."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LoadCheck]:
    def loaded(fault: str, *, wants: str = "", load_s: float = 60.0) -> LoadCheck:
        if wants:
            monkeypatch.setenv("HUNGRY_FOR", wants)
        backend = registry.from_toml(describe_fake(tmp_path, "fake", fault=fault, adapter=HUNGRY))
        model = ModelParams("tiny.en", str(tmp_path / "weights.bin"), "own", "auto")
        return load_check.check(Trial(backend, model, "auto", 1, load_s))

    return loaded


def test_weights_that_load_are_timed(load: Callable[..., LoadCheck]) -> None:
    found = load("nothing")
    assert found.outcome is LoadOutcome.LOADED
    assert found.seconds is not None
    assert 0 <= found.seconds < 5
    assert (found.version, found.hosts) == ("1.0", ())


@pytest.mark.parametrize(
    "way",
    [
        "urllib",
        "socket",
        "another_python",
        pytest.param("curl", marks=needs_curl),
    ],
)
def test_nobody_is_reached_and_the_host_is_named(
    load: Callable[..., LoadCheck], listener: Listener, way: str
) -> None:
    found = load(way, wants=listener.address)
    assert found.outcome is LoadOutcome.WOULD_DOWNLOAD
    assert found.hosts == (listener.address,)
    assert listener.address in found.message
    assert listener.reached == 0


BELOW_PYTHON = ("low_socket", "libc", "clean_child")
"""Ways to the network past the guard in Python's sockets and past the variables."""


@needs_isolation
@pytest.mark.parametrize("way", BELOW_PYTHON)
def test_code_below_python_and_other_programs_reach_nobody(
    load: Callable[..., LoadCheck], listener: Listener, way: str
) -> None:
    found = load(way, wants=listener.address)
    assert found.outcome is LoadOutcome.FAILED
    assert (listener.reached, found.network_not_blocked) == (0, "")


@pytest.fixture
def engine_toml(tmp_path: Path, listener: Listener) -> Path:
    """A program that is no Python of ours, and fetches something while it loads."""
    command = [sys.executable, str(FAKES / "broken_engine.py"), "fetches", listener.address]
    return describe_fake(tmp_path, "engine", command=command)


@needs_isolation
def test_an_engine_reaches_nobody(engine_toml: Path, listener: Listener, tmp_path: Path) -> None:
    engine = registry.from_toml(engine_toml)
    model = ModelParams("tiny.en", str(tmp_path / "weights.bin"), "own", "auto")
    found = load_check.check(Trial(engine, model, "auto", 1, 30.0))
    assert found.outcome in {LoadOutcome.FAILED, LoadOutcome.CRASHED}, found
    assert (listener.reached, found.network_not_blocked) == (0, "")


@pytest.fixture
def a_system_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a container that forbids namespaces, or on a Mac whose sandbox cannot be nested."""
    launcher = tmp_path / "refusing.py"
    launcher.write_text("raise SystemExit('cannot block the network: Operation not permitted')")
    monkeypatch.setattr(isolation, "_LAUNCHER", launcher)
    monkeypatch.setattr(isolation, "_SANDBOX", "/nowhere/sandbox-exec")
    isolation.reason_not_blocked.cache_clear()
    yield
    isolation.reason_not_blocked.cache_clear()


@pytest.mark.usefixtures("a_system_that_refuses")
@pytest.mark.parametrize("way", BELOW_PYTHON)
def test_where_the_network_cannot_be_blocked_the_row_says_so(
    load: Callable[..., LoadCheck], listener: Listener, way: str
) -> None:
    found = load(way, wants=listener.address)
    assert found.outcome is LoadOutcome.LOADED
    assert "network not blocked: " in found.message
    assert found.network_not_blocked in found.message
    wait_until(lambda: listener.reached == 1)


@pytest.mark.usefixtures("a_system_that_refuses")
def test_what_the_guards_keep_off_they_keep_off_there_too(
    load: Callable[..., LoadCheck], listener: Listener
) -> None:
    found = load("another_python", wants=listener.address)
    assert (found.outcome, found.hosts) == (LoadOutcome.WOULD_DOWNLOAD, (listener.address,))
    assert "network not blocked: " in found.message
    assert listener.reached == 0


@needs_isolation
@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("unshare") is None, reason="needs Linux and unshare"
)
def test_under_a_kernel_that_grants_no_namespace_the_row_says_that_it_was_not_blocked(
    engine_toml: Path, listener: Listener
) -> None:
    """A real refusal: in a namespace of users whose limit for network namespaces is 0."""
    limited = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"'
    words = ["check-models", "-m", "tiny.en", "-b", str(engine_toml), "--load", "--json"]
    tool = [sys.executable, "-m", "mac_whisper_speedtest", *words]
    done = subprocess.run(
        ["unshare", "--map-root-user", "sh", "-c", limited, "sh", *tool],
        capture_output=True,
        text=True,
        check=True,
    )
    (row,) = json.loads(done.stdout)["rows"]
    reason = "cannot block the network: No space left on device"
    assert row["load"]["outcome"] == "loaded"
    assert row["load"]["network_not_blocked"] == reason
    assert row["load"]["message"] == f"network not blocked: {reason}"
    wait_until(lambda: listener.reached == 1)


def test_a_program_that_does_not_exist_is_unavailable_as_in_a_run(tmp_path: Path) -> None:
    described = describe_fake(tmp_path, "engine", command=["/nowhere/engine"])
    model = ModelParams("tiny.en", str(tmp_path / "weights.bin"), "own", "auto")
    found = load_check.check(Trial(registry.from_toml(described), model, "auto", 1, 30.0))
    assert found.outcome is LoadOutcome.NOT_CHECKED
    assert "cannot start" in found.message
    assert "/nowhere/engine" in found.message


@pytest.mark.parametrize("way", ["puts_a_pipe_for_the_log", "links_the_log"])
def test_nothing_but_a_file_is_read_as_the_log_of_hosts(
    load: Callable[..., LoadCheck], way: str
) -> None:
    found = load(way)
    assert (found.outcome, found.hosts) == (LoadOutcome.LOADED, ())


def test_hosts_that_a_worker_writes_down_itself_are_few_short_and_printable(
    load: Callable[..., LoadCheck],
) -> None:
    found = load("floods_the_log")
    assert found.outcome is LoadOutcome.LOADED
    first, second = found.hosts
    assert first == "[2Jevil"
    assert (set(second), len(second) < 500) == ({"x"}, True)


def test_a_datagram_reaches_nobody(load: Callable[..., LoadCheck], listener: Listener) -> None:
    found = load("datagram", wants=listener.datagram_address)
    assert found.outcome is LoadOutcome.WOULD_DOWNLOAD
    assert found.hosts == (listener.datagram_address,)
    assert listener.reached == 0


def test_a_name_is_not_even_looked_up(load: Callable[..., LoadCheck]) -> None:
    found = load("asks_for_a_name")
    assert found.outcome is LoadOutcome.WOULD_DOWNLOAD
    assert found.hosts == ("weights.example.org",)


@needs_curl
def test_native_code_that_wants_an_encrypted_connection_names_its_host(
    load: Callable[..., LoadCheck],
) -> None:
    found = load("curl_tls")
    assert found.outcome is LoadOutcome.WOULD_DOWNLOAD
    assert found.hosts == ("weights.example.org:443",)


def test_a_library_that_knows_it_is_offline_counts_as_one_that_would_download(
    load: Callable[..., LoadCheck], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example.org")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    found = load("hub")
    assert found.outcome is LoadOutcome.WOULD_DOWNLOAD
    assert found.hosts == ("hub.example.org",)


def test_a_library_that_takes_no_proxy_finds_the_listener_in_place_of_its_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://{listener.address}")  # a mirror of the user's
    described = describe_fake(tmp_path, "fake", fault="asks_its_hub", adapter=HUNGRY)
    backend = registry.from_toml(described)
    backend = replace(backend, environment={**backend.environment, "HF_ENDPOINT": NO_HUB})
    model = ModelParams("tiny.en", str(tmp_path / "weights.bin"), "own", "auto")
    found = load_check.check(Trial(backend, model, "auto", 1, 60.0))
    assert found.outcome is LoadOutcome.WOULD_DOWNLOAD
    assert found.hosts == ("huggingface.co",)
    assert listener.reached == 0


def test_one_that_is_refused_and_loads_all_the_same_has_loaded(
    load: Callable[..., LoadCheck], listener: Listener
) -> None:
    found = load("swallowed", wants=listener.address)
    assert found.outcome is LoadOutcome.LOADED
    assert found.hosts == (listener.address,)
    assert "was refused and continued" in found.message
    assert listener.reached == 0


@pytest.mark.parametrize(
    "way",
    [
        "works_on",
        pytest.param(
            "reads_on",
            marks=pytest.mark.skipif(
                sys.platform == "darwin", reason="macOS does not tell what a process reads"
            ),
        ),
    ],
)
def test_one_that_is_at_work_when_its_time_is_over_is_too_slow(
    load: Callable[..., LoadCheck], way: str
) -> None:
    found = load(way, load_s=2.0)
    assert found.outcome is LoadOutcome.TOO_SLOW
    assert "--timeout" in found.message


def test_one_that_only_waits_has_failed(load: Callable[..., LoadCheck]) -> None:
    found = load("waits", load_s=2.0)
    assert found.outcome is LoadOutcome.FAILED
    assert "it was idle at the end" in found.message


def test_an_error_is_told_with_its_class(load: Callable[..., LoadCheck]) -> None:
    found = load("raises")
    assert (found.outcome, found.error_class) == (LoadOutcome.FAILED, "ValueError")
    assert "encoder.conv1.scales" in found.message


def test_a_crash_is_told_with_its_signal(load: Callable[..., LoadCheck]) -> None:
    found = load("aborts")
    assert (found.outcome, found.error_class) == (LoadOutcome.CRASHED, "SIGABRT")


def test_what_a_backend_started_goes_with_it(
    load: Callable[..., LoadCheck], monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    load("leaves_a_child", load_s=1.0)
    left = [each for each in psutil.Process().children(recursive=True) if each.name() == "sleep"]
    assert left == []


def test_a_program_that_is_no_python_is_checked_through_the_same_protocol(
    tmp_path: Path,
) -> None:
    program = FAKES / "broken_engine.py"
    described = describe_fake(tmp_path, "engine", command=[sys.executable, str(program)])
    backend = registry.from_toml(described)
    model = ModelParams("tiny.en", str(tmp_path / "weights.bin"), "own", "auto")
    found = load_check.check(Trial(backend, model, "auto", 1, 30.0))
    assert (found.outcome, found.version) == (LoadOutcome.LOADED, "1")


def test_a_backend_that_is_installed_nowhere_is_not_checked(tmp_path: Path) -> None:
    backend = Backend(name="ghost", adapter="x:Y", import_name="no_such_library_anywhere")
    model = ModelParams("tiny.en", str(tmp_path), "own", "auto")
    found = load_check.check(Trial(backend, model, "auto", 1, 5.0))
    assert found.outcome is LoadOutcome.NOT_CHECKED
    assert "not installed" in found.message


def test_faster_whisper_without_its_tokenizer_would_download_one(tmp_path: Path) -> None:
    """The real trap: a file is missing, and the library goes and gets one from another model."""
    pytest.importorskip("faster_whisper")
    weights = tmp_path / "weights"
    shutil.copytree(locate.official("tiny.en").path, weights)
    (weights / "tokenizer.json").unlink()
    (backend,) = registry.select(["faster-whisper"], registry.installed())
    model = ModelParams("tiny.en", str(weights), "ctranslate2", "auto")
    found = load_check.check(Trial(backend, model, "cpu", 2, 120.0))
    assert found.outcome is LoadOutcome.WOULD_DOWNLOAD, found
    assert found.hosts == ("huggingface.co",)


@pytest.mark.parametrize(
    ("after", "worked"),
    [
        (TreeUsage(0.05, 0), False),
        (TreeUsage(1.0, 0), True),
        (TreeUsage(0.0, 5 << 20), True),
        (TreeUsage(0.0, None), False),
    ],
)
def test_progress_is_computing_or_reading(after: TreeUsage, *, worked: bool) -> None:
    assert process_tree.made_progress([(0.0, TreeUsage(0.0, 0)), (2.0, after)]) is worked


def test_one_look_shows_no_progress() -> None:
    assert not process_tree.made_progress([(0.0, TreeUsage(5.0, 5))])


def test_slow_is_never_called_incomplete_or_corrupt() -> None:
    ending = WorkerExit(Status.TIMEOUT, "load", "Deadline", "no answer after 120 s of load; killed")
    found = load_check.classify_load(ending, [], working=True, waited_s=120.0)
    assert found.outcome is LoadOutcome.TOO_SLOW
    assert not any(word in found.message for word in ("incomplete", "corrupt", "missing"))
