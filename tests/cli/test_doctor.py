"""``speedtest doctor`` as people call it, on the machine that the tests run on."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest

from conftest import Tool
from mac_whisper_speedtest.cli.doctor import print_checkup
from mac_whisper_speedtest.doctor.lines import Checkup, Section, ok, unknown
from mac_whisper_speedtest.errors import ExitCode
from mac_whisper_speedtest.report.console import TextConsole

STATES = {"ok", "warn", "fail", "unknown"}
TOPICS = {
    *(
        "python",
        "architecture",
        "system",
        "virtual machine",
        "chip",
        "cores",
        "memory",
        "swap",
        "energy",
    ),
    *("power source", "power mode", "priority", "thermal state", "background load", "tool cache"),
    *("tool data", "hugging face cache", "packages", "command", "uv", "swift", "microphone", "hub"),
}
# Runs before the tool in every Python that it starts: no socket may leave this process.
GUARD = """
import os, socket
def refuse(kind):
    def call(*arguments, **named):
        with open(os.environ["GUARD_LOG"], "a", encoding="utf-8") as log:
            log.write(f"{kind} {arguments[1:]}\\n")
        raise OSError("the network is guarded")
    return call
socket.socket.connect = refuse("connect")
socket.socket.connect_ex = refuse("connect_ex")
socket.socket.sendto = refuse("sendto")
socket.getaddrinfo = refuse("getaddrinfo")
with open(os.environ["GUARD_LOG"], "a", encoding="utf-8") as log:
    log.write("guarded\\n")
"""


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Refuse the network to every Python; the file says what was tried, after ``guarded``."""
    folder = tmp_path / "guard"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("GUARD_LOG", str(tmp_path / "guard.log"))
    return tmp_path / "guard.log"


def tried(log: Path) -> set[str]:
    lines = log.read_text(encoding="utf-8").splitlines()
    assert "guarded" in lines
    return set(lines) - {"guarded"}


def test_without_online_nothing_is_sent_by_the_tool_or_by_what_it_asks(
    tool: Tool, guarded: Path
) -> None:
    called = tool("doctor", "--json")
    assert tried(guarded) == set()
    document = called.run
    assert set(document) == {"schema_version", "fit", "lines"}
    assert document["schema_version"] == 1
    assert {frozenset(line) for line in document["lines"]} == {
        frozenset({"topic", "state", "seen", "next"})
    }
    assert {line["topic"] for line in document["lines"]} >= TOPICS
    states = {line["state"] for line in document["lines"]}
    assert states <= STATES
    assert document["fit"] is ("fail" not in states)
    assert called.returncode == (ExitCode.OK if document["fit"] else ExitCode.UNFIT)
    assert called.stderr == ""


def test_with_online_the_hub_is_asked(
    tool: Tool, guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SPEEDTEST_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    document = tool("doctor", "--quick", "--online", "--json").run
    (hub,) = [line for line in document["lines"] if line["topic"] == "hub"]
    assert hub["state"] == "warn"
    assert "hub.invalid cannot be reached" in hub["seen"]
    assert tried(guarded)


def test_a_pipe_gets_one_whole_plain_line_per_fact(tool: Tool) -> None:
    called = tool("doctor", "--quick")
    assert called.stderr == ""
    assert "\x1b" not in called.stdout
    assert "…" not in called.stdout
    rows = called.stdout.splitlines()
    assert rows[0].split() == ["state", "topic", "what", "next"]
    found = [row.split(maxsplit=1)[0] for row in rows[1:] if row.split(maxsplit=1)[:1]]
    lines = [word for word in found if word in STATES]
    assert len(lines) > len(TOPICS)
    assert called.returncode == (ExitCode.UNFIT if "fail" in lines else ExitCode.OK)
    assert re.match(r"(not )?ready for benchmarking", rows[-1])
    assert rows[-1].startswith("not ") is ("fail" in lines)


def test_a_narrow_terminal_has_what_to_type_on_lines_of_its_own() -> None:
    hub = unknown("hub", "not checked", "speedtest doctor --online")
    backend = ok(
        "backend faster-whisper-batched", "1.2.1 in its own environment; " + "sees cpu " * 9
    )
    written = io.StringIO()
    screen = TextConsole(file=written, width=80, force_terminal=True, color_system=None)
    print_checkup(Checkup((Section("backends", (backend,)), Section("software", (hub,)))), screen)
    rows = [row.rstrip() for row in written.getvalue().splitlines()]
    assert rows[0].split() == ["state", "topic", "what"]
    assert max(map(len, rows)) <= 80
    (first,) = [row for row in rows if "batched" in row]
    assert first.split()[:3] == ["ok", "faster-whisper-batched", "1.2.1"]
    (at,) = [at for at, row in enumerate(rows) if row.startswith("unknown")]
    assert rows[at].split()[1:] == ["hub", "not", "known:", "not", "checked"]
    assert rows[at + 1].split() == ["→", "speedtest", "doctor", "--online"]


def test_a_cache_that_cannot_be_written_is_not_fit_and_says_what_to_type(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "file" / "cache"))
    called = tool("doctor", "--quick", "--json")
    assert called.returncode == ExitCode.UNFIT
    (line,) = [line for line in called.run["lines"] if line["topic"] == "tool cache"]
    assert line["state"] == "fail"
    assert line["next"].startswith("export SPEEDTEST_CACHE_DIR=")


def test_planted_secrets_do_not_come_out(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "people" / "clara-s-home"
    home.mkdir(parents=True)
    for name, value in {
        "HOME": str(home),
        "LOGNAME": "clara",
        "USER": "clara",
        "HF_TOKEN": "hf_AbCdEfGh0123456789AbCdEfGh",
        "MY_API_KEY": "opensesame-opensesame",
        "HTTPS_PROXY": "http://clara:opensesame@127.0.0.1:9",
        "HTTP_PROXY": "http://clara:opensesame@127.0.0.1:9",
        "HF_ENDPOINT": "https://clara:opensesame@hub.invalid",
        "HF_HOME": str(home / "hf"),
        "SPEEDTEST_CACHE_DIR": str(home / "cache"),
        "SPEEDTEST_DATA_DIR": str(home / "clara" / "data"),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("SPEEDTEST_OFFLINE", "HF_HUB_OFFLINE", "no_proxy", "NO_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    for form in ((), ("--json",)):
        called = tool("doctor", "--quick", "--online", *form)
        written = called.stdout + called.stderr
        assert "~/cache: does not exist yet" in written
        assert "hub.invalid" in written
        for secret in (str(home), "clara", "opensesame", "hf_AbC"):
            assert secret not in written
    assert list(home.iterdir()) == []
