"""``speedtest models pull`` as people run it: killed, interrupted, twice at once, refused."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Tool, wait_until
from fakes.hub import Fault, Hub
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.cli import models_pull
from mac_whisper_speedtest.download import RetryPolicy
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.weights import pull
from weights.conftest import COMMIT, SMALL, WEIGHTS, cached

FILE = "model.safetensors"
SNAPSHOT = f"models--someone--small/snapshots/{COMMIT}"


@pytest.fixture
def slow(hub: Hub, small: catalog.Custom, tool: Tool) -> Iterator[Hub]:
    """A hub that takes ten seconds for the small repository; no process outlives it."""
    hub.bytes_per_s = 200_000
    yield hub
    for process in tool.processes():
        process.kill()
        process.wait()


def partial(tmp_path: Path) -> int:
    """How many bytes of the weights are on the disk while they are fetched."""
    sizes = [path.stat().st_size for path in (tmp_path / "hub").rglob("*.incomplete")]
    return max(sizes, default=0)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_a_pull_that_is_ended_in_the_middle_is_resumed_by_the_next(
    blow: signal.Signals, slow: Hub, tool: Tool, tmp_path: Path
) -> None:
    with tool.start("models", "pull", SMALL) as process:
        wait_until(lambda: partial(tmp_path) >= 50_000)
        process.send_signal(blow)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == (-signal.SIGKILL if blow == signal.SIGKILL else 130)
    assert "Traceback" not in stderr
    assert tool.leftovers() == []
    left = partial(tmp_path)
    assert [path for path in cached(tmp_path) if not path.endswith(".incomplete")] == []
    slow.bytes_per_s = 0
    slow.log.clear()

    done = tool("models", "pull", SMALL)

    assert done.returncode == 0, done.stderr
    assert [body.range for body in slow.bodies(FILE)] == [f"bytes={left}-"]
    assert (tmp_path / "hub" / SNAPSHOT / FILE).read_bytes() == WEIGHTS
    # Two blobs and their two names, and nothing else in either cache but locks and records.
    assert len(cached(tmp_path)) == 4
    assert partial(tmp_path) == 0
    records = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    name = SMALL.replace("/", "--")
    assert records == {f"{name}.json", f"{name}.lock", "downloads.json"}


def test_two_pulls_of_the_same_model_at_once_do_the_work_once(
    slow: Hub, tool: Tool, tmp_path: Path
) -> None:
    with tool.start("models", "pull", SMALL) as first:
        wait_until(lambda: partial(tmp_path) > 0)
        with tool.start("models", "pull", SMALL) as second:
            assert second.stderr is not None
            waiting = second.stderr.readline()
            slow.bytes_per_s = 0
            messages = [process.communicate(timeout=60) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert waiting == "another process is fetching someone/small; waiting for it\n"
    assert messages[1][1] == f"{SMALL} is already here\n"
    assert sorted(body.name for body in slow.bodies()) == ["config.json", FILE]
    assert sum(body.sent for body in slow.bodies(FILE)) == len(WEIGHTS)


@pytest.fixture
def core_ml(hub: Hub, tool: Tool) -> Iterator[catalog.HostedWeights]:
    """WhisperKit's row of tiny.en, served slowly beside another model."""
    row = catalog.find_hosted("tiny.en", "whisperkit")
    assert row is not None
    assert row.revision is not None
    assert row.tokenizer is not None
    names = [f"{bundle}/weights/weight.bin" for bundle in row.kind.bundles]
    needed: dict[str, bytes | Path] = {f"{row.folder}/{name}": WEIGHTS for name in names}
    hub.add(row.repository, row.revision, {**needed, "openai_whisper-tiny/config.json": b"{}"})
    tokenizer = {file.name: b"{}" for file in row.tokenizer.files}
    hub.add(row.tokenizer.repository, row.tokenizer.revision, {**tokenizer})
    hub.bytes_per_s = 200_000
    yield row
    for process in tool.processes():
        process.kill()
        process.wait()


def test_a_pull_for_a_backend_that_is_killed_is_resumed_and_then_put_together(
    core_ml: catalog.HostedWeights, hub: Hub, tool: Tool, tmp_path: Path
) -> None:
    call = ("models", "pull", "tiny.en", "--backend", "whisperkit")
    with tool.start(*call) as process:
        wait_until(lambda: partial(tmp_path) >= 50_000)
        process.kill()
        process.communicate(timeout=30)
    assert not list((tmp_path / "cache" / "weights").rglob("*.bin"))
    left = partial(tmp_path)
    hub.bytes_per_s = 0
    hub.log.clear()

    done = tool(*call)

    assert done.returncode == 0, done.stderr
    # The three files are one and the same, and are fetched once.
    assert [body.range for body in hub.bodies("weight.bin")] == [f"bytes={left}-"]
    folder = Path(done.stdout.removeprefix("weights of tiny.en: ").strip())
    assert folder.is_relative_to(tmp_path / "cache" / "weights" / "tiny.en")
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "tokenizer.json",
        "tokenizer_config.json",
        *["weight.bin"] * 3,
    ]
    assert "putting tiny.en together for whisperkit: 5 files, 6.0 MB" in done.stderr
    again = tool(*call)
    assert (again.stdout, again.returncode) == (done.stdout, 0)
    there = tool("models", "path", "tiny.en", "--format", "whisperkit")
    assert (there.stdout, there.returncode) == (f"{folder}\n", 0)
    read = tool("models", "verify", "tiny.en")
    assert read.returncode == 0, read.stdout
    assert (
        "ok            tiny.en whisperkit float16: the tool's cache (as published)" in read.stdout
    )
    checked = tool("check-models", "-b", "whisperkit", "-m", "tiny.en", "--json")
    (row,) = checked.run["rows"]
    assert (row["state"], row["evidence"], row["next"]) == ("complete", "hashes", "")
    removed = tool("models", "remove", "tiny.en", "--format", "whisperkit", "--yes")
    assert removed.returncode == 0, removed.stderr
    assert not folder.exists()
    checked = tool("check-models", "-b", "whisperkit", "-m", "tiny.en", "--json")
    (row,) = checked.run["rows"]
    assert (row["state"], row["can_be_made_here"]) == ("absent", True)


@pytest.mark.parametrize(
    ("name", "backend", "said"),
    [
        ("tiny.en", "mlx-whisper", "there is no repository Systran/faster-whisper-tiny.en"),
        ("tiny.en", "whisperx", "there is no repository Systran/faster-whisper-tiny.en"),
        ("small", "fluidaudio", "fluidaudio runs parakeet-tdt-0.6b-v2 when small is asked for"),
        ("small", "parakeet-mlx", "there is no repository mlx-community/parakeet-tdt-0.6b-v"),
    ],
)
def test_a_backend_gets_what_a_run_with_it_needs(
    hub: Hub, tool: Tool, name: str, backend: str, said: str
) -> None:
    done = tool("models", "pull", name, "--backend", backend)
    assert done.returncode == 10
    assert said in done.stderr


def test_what_is_printed(hub: Hub, small: catalog.Custom, tool: Tool, tmp_path: Path) -> None:
    done = tool("models", "pull", SMALL)
    folder = tmp_path / "hub" / SNAPSHOT
    assert done.stdout == f"weights of {SMALL}: {folder}\n"
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"Fetching {SMALL}: 2 files, 2.0 MB, of someone/small@c0ffee00")
    assert lines[1:3] == [f"{FILE}: 2.0 MB", "config.json: 0.0 MB"]
    assert lines[3].startswith(f"{SMALL}: 2.0 MB in ")
    assert [(request.method, request.name) for request in hub.log] == [
        ("GET", ""),  # the list
        *[(method, name) for name in (FILE, "config.json") for method in ("HEAD", "GET")],
    ]
    assert all(request.agent.startswith("mac-whisper-speedtest/") for request in hub.log)
    assert not any("agent/" in request.agent for request in hub.log)


def test_a_failed_download_has_its_own_exit_code_and_one_line(
    hub: Hub, small: catalog.Custom, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "sesame-open-sesame")
    hub.fail("", Fault(status=401))
    done = tool("models", "pull", SMALL)
    assert done.returncode == 10
    error, hint = done.stderr.splitlines()
    assert error.endswith("error: 127.0.0.1 refused the token for someone/small (401)")
    tokens = f"{hub.endpoint}/settings/tokens"
    assert hint.startswith(f"  hint: create a valid one at {tokens}, then set")
    # One request, and none by the library's telemetry.
    assert [(request.path, request.authorization) for request in hub.log] == [
        (f"api/models/someone/small/revision/{COMMIT}", "Bearer sesame-open-sesame")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tiny", "--backend", "whisperkit", "--format", "mlx"), "exclude each other"),
        (("tiny", "--backend", "whisperkit", "--mirror"), "exclude each other"),
        (("tiny", "--backend", "no-such"), "unknown backend 'no-such'"),
        ((SMALL, "--backend", "whisperkit"), "--backend is for models of the catalog"),
        (
            ("moonshine-tiny-en", "--backend", "whisperkit"),
            "nothing to pull of moonshine-tiny-en for whisperkit: whisperkit holds whisper",
        ),
    ],
)
def test_a_pull_for_a_backend_that_makes_no_sense_is_refused(
    hub: Hub, tool: Tool, arguments: tuple[str, ...], said: str
) -> None:
    done = tool("models", "pull", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert hub.log == []


@pytest.mark.parametrize(
    "wrong",
    [["someone/small@main"], [f"../small@{COMMIT}"], ["tinny"], ["--format", "mlx"], ["--mirror"]],
)
def test_nothing_is_fetched_if_one_of_the_names_is_wrong(
    wrong: list[str], hub: Hub, small: catalog.Custom
) -> None:
    with pytest.raises(UsageError):
        models_pull.command.main([SMALL, *wrong], standalone_mode=False)
    assert hub.log == []


def test_the_bars_on_a_terminal_end_at_the_true_number_of_bytes(
    hub: Hub, small: catalog.Custom, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.fail(FILE, Fault(cut_at=500_000), Fault(ignore_range=True))
    drawn = models_pull._Drawn()
    quick = RetryPolicy(sleep=lambda _: None)
    pull.pull_custom(small, notify=lambda _: None, progress=drawn, policy=quick)
    done = {task.description: (task.completed, task.total) for task in drawn._bars.tasks}
    whole = len(WEIGHTS)
    assert done == {FILE: (whole, whole), "config.json": (2, 2), "total": (whole + 2, whole + 2)}
