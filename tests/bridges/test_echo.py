"""``speedtest-echo``, the Swift protocol library with an engine of known truth, under attack.

What a Python worker does at a kill, at the end of its input, at garbage and when the tool is gone,
a worker in Swift must do as well: all bridges are this library with another engine in it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import psutil
import pytest

from bridges.conftest import BUILD_S
from conftest import Tool, describe_fake, wait_until, write_tone
from mac_whisper_speedtest.backends.adapter import ModelParams
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import SETTING_NAMES
from mac_whisper_speedtest.cli.conformance import command
from mac_whisper_speedtest.limits import LONGEST_LINE
from mac_whisper_speedtest.worker import conformance, ownership
from mac_whisper_speedtest.worker.conformance import CheckStatus
from mac_whisper_speedtest.worker.conformance.client import Client

HELLO = b'{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1}}\n'
RATE = 16000
COMPUTING = {"SPEEDTEST_ECHO_RTF": "1000"}
"""It computes for minutes, whatever the audio."""

StartWorker = Callable[..., Client]

pytestmark = pytest.mark.timeout(BUILD_S)  # the first one builds, or waits for another's build


def answer_of(client: Client, timeout_s: float = 30) -> dict[str, Any]:
    """The next line as JSON, of whatever kind."""
    line = client.receive(timeout_s)
    assert line is not None, "no answer"
    answer: dict[str, Any] = json.loads(line.data)
    return answer


def ask(client: Client, method: str, **params: Any) -> dict[str, Any]:
    """The result of a call."""
    call = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    client.send(json.dumps(call).encode() + b"\n")
    answer = answer_of(client)
    assert answer["id"] == 7
    result: dict[str, Any] = answer["result"]
    return result


@pytest.fixture
def recording(tmp_path: Path) -> dict[str, Any]:
    """Parameters of ``transcribe``: half a second that is loud, and one that is quiet."""
    samples = np.zeros(RATE, "<f4")
    samples[: RATE // 2] = 0.5
    path = tmp_path / "audio.f32"
    samples.tofile(path)
    audio = {"path": str(path), "samples": samples.size}
    return {"audio": audio, "contract": {"language": "en"}, "kind": "timed"}


@pytest.fixture
def ready(start_worker: StartWorker, echo: Path) -> Callable[..., Client]:
    """Start the program and load: ``ready(VARIABLE="value")``."""

    def start(**environment: str) -> Client:
        client = start_worker(echo, **environment)
        ask(client, "hello")
        ask(client, "load", model={"name": "tiny.en", "path": "", "format": "own"})
        return client

    return start


def begin(client: Client, recording: dict[str, Any]) -> None:
    """Have it compute: its processor time grows."""
    before = sum(psutil.Process(client.pid).cpu_times()[:2])
    call = {"jsonrpc": "2.0", "id": 8, "method": "transcribe", "params": recording}
    client.send(json.dumps(call).encode() + b"\n")
    wait_until(lambda: sum(psutil.Process(client.pid).cpu_times()[:2]) > before + 0.1)


@pytest.mark.parametrize("mode", [5, 6])
def test_it_passes_every_check_in_both_language_modes(
    build_package: Callable[..., Path], mode: int
) -> None:
    program = build_package("protocol", mode) / "speedtest-echo"
    subject = conformance.ConformanceSubject(
        # Slow enough to be interrupted in the middle of a minute of audio.
        backend=Backend("echo", command=(str(program),), environment={"SPEEDTEST_ECHO_RTF": "0.1"}),
        model=ModelParams(name="tiny.en", path=str(program), format="own"),
        samples=conformance.speech_like(1.0),
        timeout_s=20,
        eof_idle_s=5,
        children_grace_s=0.3,
        eof_busy_s=5,
    )
    findings = conformance.run(subject)
    assert [each for each in findings if each.outcome is not CheckStatus.PASSED] == []
    (busy,) = [each.seen for each in findings if each.check == "eof-busy"]
    assert busy == "gone, transcribing"


def test_the_command_passes_it_without_weights(echo: Path) -> None:
    done = click.testing.CliRunner().invoke(command, ["--json", "--no-weights", "--", str(echo)])
    assert done.exit_code == 0, done.output
    outcomes = {check["check"]: check["outcome"] for check in json.loads(done.stdout)["checks"]}
    assert {name for name, each in outcomes.items() if each != "pass"} == {"missing-model"}


def test_it_says_what_it_heard_and_reports_every_setting(
    ready: Callable[..., Client], recording: dict[str, Any]
) -> None:
    result = ask(ready(), "transcribe", **recording)
    assert result["text"] == " loud quiet"
    assert [(each["start_s"], each["end_s"]) for each in result["segments"]] == [(0, 0.5), (0.5, 1)]
    assert set(result["effective"]) == set(SETTING_NAMES)
    assert result["cpu_s"] >= 0
    assert result["peak_rss_bytes"] > 1 << 20


def test_what_a_library_prints_goes_to_the_log_and_its_stdin_is_empty(
    ready: Callable[..., Client],
) -> None:
    client = ready()
    ask(client, "unload")
    assert b"speedtest-echo: loaded\n" in client.log
    if sys.platform == "linux":
        handles = Path(f"/proc/{client.pid}/fd").iterdir()
        files = {each.name: each.readlink() for each in handles}
        assert files["0"] == Path("/dev/null")
        assert files["1"] == files["2"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", -32700),
        (b"garbage", -32700),
        (b"\xff\xfe\x00", -32700),
        (b'{"jsonrpc":"2.0","id":5,"method":"hello","params":{"x":"\xff"}}', -32700),
        (b"\x00" * 100, -32700),
        (b'{"jsonrpc":"2.0","id":5,"method":"hello"', -32700),
        (b"NaN", -32700),
        (b"[" * 65 + b"]" * 65, -32700),
        (b"[" * 100_000, -32700),
        (b'{"a":' * 1_000_000, -32700),
        (b'{"jsonrpc":"2.0","id":5,"method":"m","params":' + b"[" * 64 + b"]" * 64 + b"}", -32700),
        (b"x" * LONGEST_LINE, -32700),
        (b"[]", -32600),
        (b"5", -32600),
        (b'{"jsonrpc":"2.0","method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":{"a":1},"method":"hello"}', -32600),
    ],
    ids=lambda each: str(each)[:40],
)
def test_garbage_is_answered_and_the_next_call_too(
    start_worker: StartWorker, echo: Path, line: bytes, code: int
) -> None:
    client = start_worker(echo)
    client.send(line + b"\n" + HELLO)
    refused = answer_of(client)
    assert (refused["error"]["code"], refused["id"]) == (code, None)
    assert refused["error"]["data"]["error_class"] in {"ParseError", "InvalidRequest"}
    assert answer_of(client)["result"]["name"] == "speedtest-echo"


def test_a_line_as_long_as_allowed_is_a_call(start_worker: StartWorker, echo: Path) -> None:
    start = b'{"jsonrpc":"2.0","id":5,"method":"hello","params":{"unknown":"'
    line = start + b"x" * (LONGEST_LINE - len(start) - 4) + b'"}}\n'
    assert len(line) == LONGEST_LINE
    client = start_worker(echo)
    client.send(line)
    assert answer_of(client)["result"]["protocol"] == 1


def test_what_waits_for_its_turn_is_bounded_and_the_end_is_seen_all_the_same(
    ready: Callable[..., Client], recording: dict[str, Any]
) -> None:
    client = ready(**COMPUTING)
    begin(client, recording)
    before = psutil.Process(client.pid).memory_info().rss
    client.send(b"\n" * 100_000 + HELLO * 10_000 + (b"x" * 999_999 + b"\n") * 200)
    assert client.receive(5) is None
    assert psutil.Process(client.pid).memory_info().rss < before + 40_000_000
    client.close_stdin()
    assert client.wait(5) == 0


@pytest.mark.parametrize(
    "identity",
    ["0", "-1", "123456789012345678901234567890", "1.50", "1e3", '"a\\u00e9\\n"', '""', "null"],
)
def test_an_id_comes_back_as_it_was_written(
    start_worker: StartWorker, echo: Path, identity: str
) -> None:
    client = start_worker(echo)
    client.send(HELLO.replace(b'"id":1', b'"id":' + identity.encode()))
    line = client.receive(30)
    assert line is not None
    assert line.data.startswith(b'{"jsonrpc":"2.0","id":' + identity.encode() + b',"result":{')


def test_calls_are_read_however_the_pipe_cuts_them(start_worker: StartWorker, echo: Path) -> None:
    client = start_worker(echo)
    for byte in HELLO:
        client.send(bytes([byte]))
    assert answer_of(client)["id"] == 1
    calls = [HELLO.replace(b'"id":1', b'"id":%d' % number) for number in range(1000)]
    # A notification among them gets no answer.
    client.send(b"".join(calls[:500]) + HELLO.replace(b'"id":1,', b"") + b"".join(calls[500:]))
    assert [answer_of(client)["id"] for _ in calls] == list(range(1000))


@pytest.mark.parametrize("sent", [b"", b'{"jsonrpc":"2.0","id":9', HELLO], ids=repr)
def test_at_the_end_of_its_input_it_is_gone(
    start_worker: StartWorker, echo: Path, sent: bytes
) -> None:
    client = start_worker(echo)
    client.send(HELLO)
    answer_of(client)
    client.send(sent)
    client.close_stdin()
    assert client.wait(5) == 0


def test_at_the_end_of_its_input_it_stops_computing(
    ready: Callable[..., Client], recording: dict[str, Any]
) -> None:
    client = ready(**COMPUTING)
    begin(client, recording)
    client.close_stdin()
    assert client.wait(5) == 0
    assert client.leftovers(0.3) == []


def test_a_stdout_without_a_reader_ends_it_without_a_signal(
    echo: Path, recording: dict[str, Any]
) -> None:
    load = {"model": {"name": "tiny.en", "path": "", "format": "own"}}
    calls: list[tuple[str, dict[str, Any]]] = [("load", load), ("transcribe", recording)]
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n"
        for method, params in calls
    ]
    out, theirs = os.pipe()
    incoming, our_in = os.pipe()
    silent = subprocess.DEVNULL
    with subprocess.Popen([str(echo)], stdin=incoming, stdout=theirs, stderr=silent) as process:
        for each in (theirs, incoming, out):
            os.close(each)
        os.write(our_in, HELLO + b"".join(lines))
        try:
            assert process.wait(10) == 1
        finally:
            process.kill()
            os.close(our_in)


def test_ten_thousand_calls_leave_memory_and_files_as_they_were(
    ready: Callable[..., Client], recording: dict[str, Any], tmp_path: Path
) -> None:
    client = ready()
    process = psutil.Process(client.pid)
    short = tmp_path / "short.f32"
    np.full(800, 0.5, "<f4").tofile(short)
    call = {"jsonrpc": "2.0", "id": 7, "method": "transcribe"}
    audios = [{"path": str(short), "samples": 800}] * 18 + [recording["audio"]]
    audios += [{"path": "/no/such/file", "samples": 1}]
    # In all, more than what may wait to be read at any time.
    padded = {**recording, "padding": "x" * 1000}
    calls = [{**call, "params": {**padded, "audio": audio}} for audio in audios]
    block = "".join(json.dumps(each) + "\n" for each in calls).encode()

    def thousand() -> None:
        for _ in range(50):
            client.send(block)
            answers = [answer_of(client) for _ in audios]
            assert ["result" in answer for answer in answers] == [True] * 19 + [False]

    thousand()
    memory, handles = process.memory_info().rss, process.num_fds()
    for _ in range(9):
        thousand()
        # Weights come and go as well.
        ask(client, "unload")
        ask(client, "load", model={"name": "tiny.en", "path": "", "format": "own"})
    assert process.num_fds() == handles
    assert process.memory_info().rss - memory < 4_000_000
    assert process.num_threads() < 20


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_it_computes(
    ready: Callable[..., Client], recording: dict[str, Any], number: signal.Signals
) -> None:
    client = ready(**COMPUTING)
    begin(client, recording)
    os.kill(client.pid, number)
    assert client.wait(5) == -number


def describe_echo(folder: Path, name: str, program: Path, rtf: float) -> Path:
    """Describe the program in a TOML file, as a user does."""
    (folder / "weights.bin").write_bytes(b"not really weights")
    path = folder / f"{name}.toml"
    path.write_text(
        f'[backend]\nname = "{name}"\ncommand = [{json.dumps(str(program))}]\n'
        f'environment = {{ SPEEDTEST_ECHO_RTF = "{rtf}" }}\n'
        'models = { "tiny.en" = "weights.bin" }\n',
        encoding="utf-8",
    )
    return path


def test_a_run_measures_it_beside_a_python_engine_and_ends_one_that_is_too_slow(
    tool: Tool, tmp_path: Path, echo: Path
) -> None:
    toml = describe_echo(tmp_path, "echo", echo, 0.01)
    slow = describe_echo(tmp_path, "slow", echo, 1000)
    python = describe_fake(tmp_path, "python")
    tone = write_tone(tmp_path / "tone.wav", 2.0)
    options = ["--rounds", 2, "--passes", 3, "--timeout", 5, "--json"]
    backends = ["-b", toml, "-b", slow, "-b", python]
    done = tool("run", "-m", "tiny.en", "--audio", tone, *backends, *options)
    assert done.returncode == 3, done.stderr
    for name in ("echo", "python"):
        cell = done.cell(name)
        assert cell["status"] == "ok", cell["endings"]
        assert cell["summary"]["timed_samples"] == 6
    samples = [each for each in done.cell("echo")["samples"] if each["index"] >= 0]
    assert {each["text"] for each in samples} == {" loud loud loud loud"}
    # It computes for a hundredth of the audio's duration, and says so.
    assert all(0.02 <= each["seconds"] < 5 for each in samples)
    ending = done.cell("slow")["endings"][0]
    assert (ending["status"], ending["stage"]) == ("timeout", "warmup")


def test_a_tool_that_is_killed_takes_it_with_it(
    tool: Tool, tmp_path: Path, echo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = describe_echo(tmp_path, "echo", echo, 1000)
    tone = write_tone(tmp_path / "tone.wav")
    process = tool.start("run", "-m", "tiny.en", "--audio", tone, "-b", toml)

    def computes() -> bool:
        mine = [each for each in tool.processes() if each.name() == "speedtest-echo"]
        return bool(mine) and sum(mine[0].cpu_times()[:2]) > 0.3

    wait_until(computes)
    process.kill()
    process.communicate()
    wait_until(lambda: tool.processes() == [], timeout_s=10)
    # A killed tool cannot remove its folder; the next one does.
    monkeypatch.setattr("tempfile.tempdir", str(tool.temporary))
    ownership.remove_leftover_folders()


def test_a_cell_whose_worker_is_killed_costs_no_other_one(
    tool: Tool, tmp_path: Path, echo: Path
) -> None:
    toml = describe_echo(tmp_path, "echo", echo, 1000)
    python = describe_fake(tmp_path, "python")
    tone = write_tone(tmp_path / "tone.wav")
    backends = ["-b", toml, "-b", python]
    options = ["--rounds", 1, "--passes", 2, "--json"]
    process = tool.start("run", "-m", "tiny.en", "--audio", tone, *backends, *options)
    found: list[psutil.Process] = []

    def computes() -> bool:
        found[:] = [each for each in tool.processes() if each.name() == "speedtest-echo"]
        return bool(found) and sum(found[0].cpu_times()[:2]) > 0.3

    wait_until(computes)
    found[0].kill()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    cells = {each["backend"]["name"]: each for each in json.loads(stdout)["cells"]}
    assert cells["python"]["status"] == "ok"
    assert cells["echo"]["endings"][0]["stage"] == "warmup"
    assert cells["echo"]["status"] in {"crashed", "out_of_memory"}
