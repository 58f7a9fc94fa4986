"""Folders, disks, packages, programs, microphones and the hub."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fakes import machines as m
from mac_whisper_speedtest.doctor import packages, storage, system
from mac_whisper_speedtest.doctor.packages import Installed
from mac_whisper_speedtest.doctor.storage import Disk, Folder, Size
from mac_whisper_speedtest.machine.reader import Answer, Unknown

NONE = Unknown("it is not installed")
GB = 10**9


def folder(path: Path, *, needed: bool = True, cache: bool = True) -> Folder:
    return Folder("tool cache", path, "SPEEDTEST_CACHE_DIR", needed=needed, cache=cache)


def test_every_file_is_counted_once_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"1" * 1000)
    os.link(tmp_path / "a" / "one", tmp_path / "again")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "two").write_bytes(b"2" * 50)
    assert storage.size_of(tmp_path, 10.0) == Size(1050, whole=True)


def test_counting_ends_when_its_time_is_up(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    size = storage.size_of(tmp_path, -1.0)
    assert size == Size(0, whole=False)
    assert "more than 0 MB" in storage.judge_storage(folder(tmp_path), size, "").seen


@pytest.mark.parametrize(("needed", "state"), [(True, "fail"), (False, "warn")])
def test_a_folder_that_cannot_be_written_fails_only_if_runs_need_it(
    tmp_path: Path, needed: bool, state: str
) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    line = storage.inspect_storage(folder(tmp_path / "file" / "cache", needed=needed))
    assert line.state == state
    assert "is not a folder" in line.seen
    assert line.next.startswith("export SPEEDTEST_CACHE_DIR=")


def test_a_folder_that_is_not_there_yet_is_fine_and_is_not_made(tmp_path: Path) -> None:
    line = storage.inspect_storage(folder(tmp_path / "deep" / "cache"))
    assert line.state == "ok"
    assert line.seen.endswith("does not exist yet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_fails(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    assert storage.inspect_storage(folder(tmp_path / "cache")).state == "fail"


@pytest.mark.parametrize(
    ("free", "cache", "state"),
    [
        (100 * GB, True, "ok"),
        (9 * GB, True, "warn"),
        (2 * GB, True, "warn"),
        (2 * GB - 1, True, "fail"),
        (2 * GB - 1, False, "warn"),
    ],
)
def test_a_disk_without_room_for_weights_fails(free: int, cache: bool, state: str) -> None:
    disk = Disk((folder(Path("/x"), cache=cache),), free=free, total=500 * GB)
    assert storage.judge_disk("disk", disk).state == state


def test_folders_on_one_disk_share_a_line(tmp_path: Path) -> None:
    lines = storage.inspect_disks([folder(tmp_path / "a"), folder(tmp_path / "b")])
    assert [line.topic for line in lines] == ["disk"]


def lookup(known: dict[str, Installed]) -> packages.Lookup:
    return known.get


TOOL = Installed("0.1.0", ("click>=8.1", "numpy>=2", 'winreg-x>=1; sys_platform == "win32"'))


@pytest.mark.parametrize(
    ("known", "state", "seen", "then"),
    [
        ({}, "unknown", "not known: tool is not installed as a package", ""),
        (
            {"tool": TOOL, "click": Installed("8.5"), "numpy": Installed("2.4")},
            "ok",
            "tool 0.1.0 and all its requirements are met",
            "",
        ),
        (
            {"tool": TOOL, "click": Installed("8.5"), "numpy": Installed("1.26.4")},
            "fail",
            "tool needs numpy>=2, has 1.26.4",
            "python -m pip install 'numpy>=2'",
        ),
        (
            {"tool": TOOL, "click": Installed("8.5")},
            "fail",
            "tool needs numpy>=2, it is not installed",
            "python -m pip install 'numpy>=2'",
        ),
        (
            {
                "tool": TOOL,
                "click": Installed("8.5", ("color<2", 'docs-x; extra == "docs"', "??")),
                "color": Installed("3.0"),
                "numpy": Installed("2.4", ("click", "numpy")),
            },
            "warn",
            "click needs color<2, has 3.0",
            "python -m pip install 'color<2'",
        ),
    ],
)
def test_what_is_installed_is_compared_with_what_is_declared(
    known: dict[str, Installed], state: str, seen: str, then: str
) -> None:
    line = packages.judge_packages("tool", lookup(known))
    assert (line.state, line.seen, line.next) == (state, seen, then)


def test_needs_of_an_extra_count_where_it_is_asked_for() -> None:
    known = {
        "tool": Installed("1", ("hub[fast]>=1",)),
        "hub": Installed("1.0", ('xet>=2; extra == "fast"', 'torch; extra == "torch"')),
        "xet": Installed("1.9"),
    }
    found = [str(each) for each in packages.conflicts("tool", lookup(known))]
    assert found == ["hub needs xet>=2, has 1.9"]


def test_previews_and_in_house_versions_are_no_conflicts() -> None:
    known = {
        "tool": Installed("1", ("numpy>=2", "own>=1")),
        "numpy": Installed("2.5.0rc1"),
        "own": Installed("yesterday"),
    }
    assert list(packages.conflicts("tool", lookup(known))) == []


@pytest.mark.parametrize(
    ("found", "version", "state", "seen"),
    [
        ("/x/uv", "uv 0.13.8 (a1b2 2026-11-01 aarch64-apple-darwin)", "ok", "0.13.8"),
        (NONE, NONE, "warn", "not installed"),
        ("/x/uv", Unknown("uv did not answer in 5 s"), "unknown", "not known: uv did not"),
    ],
)
def test_uv_is_recommended_but_not_necessary(
    found: str | Unknown, version: Answer, state: str, seen: str
) -> None:
    line = system.judge_uv(found, version)
    assert line.state == state
    assert line.seen.startswith(seen)


@pytest.mark.parametrize(
    ("developer", "version", "state", "seen", "then"),
    [
        ("/Applications/Xcode.app", m.SWIFT, "ok", "Apple Swift version 6.2.3", ""),
        (NONE, NONE, "ok", "no developer tools", "xcode-select --install"),
        ("/Library/Developer", NONE, "unknown", "not known", "xcode-select -p"),
    ],
)
def test_swift_never_counts_against_a_machine(
    developer: Answer, version: Answer, state: str, seen: str, then: str
) -> None:
    line = system.judge_swift(developer, version)
    assert (line.state, line.next) == (state, then)
    assert seen in line.seen


def test_swift_is_not_called_without_developer_tools() -> None:
    reader = m.Recorded(m.MAC_VM, platform="darwin")
    system.inspect_tools(reader, "/x/uv")
    assert "swift --version" not in reader.asked


@pytest.mark.parametrize(
    ("listed", "state", "seen"),
    [
        (m.AUDIO, "ok", "2 inputs (bluetooth, builtin)"),
        ('{"SPAudioDataType": [{"_items": []}]}', "ok", "none; only recording needs one"),
        ("{}", "unknown", "not known"),
        ("[1]", "unknown", "not known"),
        (NONE, "unknown", "not known: it is not installed"),
    ],
)
def test_microphones_of_a_mac_are_counted_and_not_named(
    listed: Answer, state: str, seen: str
) -> None:
    line = packages.macos_microphones(listed)
    assert line.state == state
    assert seen in line.seen


@pytest.mark.parametrize(
    ("cards", "devices", "state", "seen"),
    [
        ("0 [PCH]: HDA-Intel", "00-00: ALC : ALC : playback 1 : capture 1", "ok", "1 input"),
        ("0 [x]: y", "00-00: a : a : capture 1\n01-00: b : b : capture 2", "ok", "2 inputs"),
        ("0 [HDMI]: HDA-Intel", "00-03: HDMI 0 : HDMI 0 : playback 1", "ok", "none"),
        ("--- no soundcards ---", "", "ok", "none"),
        (NONE, NONE, "unknown", "not known"),
    ],
)
def test_microphones_of_linux_are_counted(
    cards: Answer, devices: Answer, state: str, seen: str
) -> None:
    line = packages.linux_microphones(cards, devices)
    assert line.state == state
    assert line.seen.startswith(seen)


@pytest.mark.parametrize(
    ("text", "address", "host"),
    [
        ("https://huggingface.co", "https://huggingface.co/", "huggingface.co"),
        ("https://me:pw@hub.test:8443/x?k=v", "https://hub.test:8443/x", "hub.test:8443"),
        ("http://[::1]:80/", "http://[::1]:80/", "::1:80"),
        ("file:///etc/passwd", "", ""),
        ("hub.test", "", ""),
        ("https://hub.test:port", "", ""),
        ("", "", ""),
    ],
)
def test_only_addresses_of_http_are_asked_and_never_with_a_login(
    text: str, address: str, host: str
) -> None:
    assert storage.endpoint(text) == (address, host)


@pytest.mark.parametrize(
    ("status", "error", "state", "seen"),
    [
        (200, "", "ok", "hub.test answers 200 in 120 ms"),
        (403, "", "ok", "hub.test answers 403"),
        (407, "", "warn", "the proxy requires a login"),
        (503, "", "warn", "the server has an error"),
        (0, "timed out", "warn", "hub.test cannot be reached: timed out"),
    ],
)
def test_any_answer_means_that_the_hub_can_be_reached(
    status: int, error: str, state: str, seen: str
) -> None:
    line = storage.judge_network("hub.test", storage.HubReply(status, 0.12, error))
    assert line.state == state
    assert seen in line.seen


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, str]]]]:
    """A hub on this machine, set as the endpoint; what it was asked, with headers."""
    asked: list[tuple[str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append((self.command, dict(self.headers)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for name in ("http_proxy", "HTTP_PROXY", "SPEEDTEST_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://me:opensesame@127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_hub_is_asked_once_without_token_or_login(
    hub: list[tuple[str, dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 20)
    line = storage.inspect_network()
    assert line.state == "ok"
    assert "127.0.0.1" in line.seen
    assert "answers 204" in line.seen
    ((command, headers),) = hub
    assert command == "HEAD"
    assert not {"Authorization", "authorization"} & headers.keys()
    assert "opensesame" not in line.seen


@pytest.mark.parametrize("name", ["SPEEDTEST_OFFLINE", "HF_HUB_OFFLINE"])
def test_a_user_who_forbids_the_network_is_obeyed(
    hub: list[tuple[str, dict[str, str]]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    line = storage.inspect_network()
    assert (line.state, line.next) == ("unknown", f"unset {name}")
    assert hub == []


def test_a_hub_that_is_not_there_is_a_warning(
    hub: list[tuple[str, dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    line = storage.inspect_network()
    assert line.state == "warn"
    assert "127.0.0.1:1 cannot be reached" in line.seen


@pytest.mark.parametrize(
    ("program", "state", "seen"),
    [
        (None, "ok", "no speedtest on PATH"),
        (
            "#!/usr/bin/python3\nfrom mac_whisper_speedtest.__main__ import main\nmain()\n",
            "ok",
            "speedtest is ",
        ),
        (  # of the package speedtest-cli
            "#!/usr/bin/python3\nfrom speedtest import main\nmain()\n",
            "warn",
            "speedtest on PATH is another program: ",
        ),
        ("\x7fELF" + "\0" * 20_000 + "mac_whisper_speedtest", "warn", "another program"),
    ],
)
def test_another_program_of_that_name_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None, state: str, seen: str
) -> None:
    if program is not None:
        path = tmp_path / "speedtest"
        path.write_text(program, encoding="utf-8")
        path.chmod(0o755)
        seen += str(path) if seen.endswith(" ") else ""
    monkeypatch.setenv("PATH", str(tmp_path))
    line = packages.inspect_command()
    assert (line.topic, line.state) == ("command", state)
    assert seen in line.seen
    assert (line.next == "mac-whisper-speedtest starts this tool") is (state == "warn")
