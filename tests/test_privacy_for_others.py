"""What is given away has less in it than what stays at home, and what is secret here is known."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mac_whisper_speedtest import privacy
from mac_whisper_speedtest.privacy import Secret, scrub, scrub_for_others, secrets
from mac_whisper_speedtest.secret_forms import TOKEN_BEGINNINGS

LETTERS = "AbCdEfGh0123456789AbCdEfGh012345"


@pytest.fixture(autouse=True)
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home folder of ``ludwig`` on ``wien.example.org``, who has no secrets."""
    for name in set(os.environ) - {"PATH"}:
        monkeypatch.delenv(name)
    home = tmp_path / "private"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "ludwig")
    monkeypatch.setattr(socket, "gethostname", lambda: "wien.example.org")
    monkeypatch.setattr(privacy, "_full_names", lambda: ("Ludwig van B",))
    monkeypatch.setattr(privacy, "_mac_addresses", lambda: ("0242ac110007", "02:42:ac:11:00:07"))
    monkeypatch.setattr(privacy, "_serial_numbers", lambda: ("C02XK1ZJQ05D",))
    privacy._names.cache_clear()
    yield home
    privacy._names.cache_clear()


@pytest.mark.parametrize(
    "token",
    [
        f"hf_{LETTERS}",
        f"sk-{LETTERS}",
        *(f"gh{kind}_{LETTERS}" for kind in "pousr"),
        f"api_org_{LETTERS}",
        f"github_pat_{LETTERS}",
        f"glpat-{LETTERS}",
        "AKIAIOSFODNN7EXAMPLE",
        f"AIza{LETTERS}xyz",
        f"xoxb-{LETTERS}",
        f"npm_{LETTERS}",
        f"pypi-{LETTERS}",
        f"eyJ{LETTERS}.{LETTERS}.{LETTERS}",
    ],
)
def test_a_token_of_any_known_form_is_taken_out_everywhere(token: str) -> None:
    assert scrub(f"with '{token}' in it") == "with '<token>' in it"
    assert token.startswith(TOKEN_BEGINNINGS)


@pytest.mark.parametrize("address", ["02:42:ac:11:00:07", "A4-83-E7-00-12-FF"])
def test_a_hardware_address_is_taken_out_everywhere(address: str) -> None:
    assert scrub(f"en0 ({address}) is down") == "en0 (<mac>) is down"


@pytest.mark.parametrize(
    "text", ["at 10:11:12", "1:2:3:4:5:6", "00:11:22:33:44:55:66:77", "deadbeef-00-11-22-33-44-55"]
)
def test_what_only_looks_like_a_hardware_address_stays(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Serial Number: C02XK1ZJQ05D", "Serial Number: <serial>"),
        ('"serial": "ABC-12345"', '"serial": "<serial>"'),
        ("serial_no=123456", "serial_no=<serial>"),
        ("GPU-8a56a4bc-0aa9-1e3f-9b5a-1f2e3d4c5b6a is lost", "<serial> is lost"),
        ("MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f is lost", "<serial> is lost"),
        ("a serial killer: unknown", "a serial killer: unknown"),
        ("serial: monotonic", "serial: monotonic"),
    ],
)
def test_a_number_that_is_called_serial_is_taken_out_everywhere(text: str, left: str) -> None:
    assert scrub(text) == left


def test_a_host_is_the_same_in_any_case_and_a_user_is_not() -> None:
    assert scrub("WIEN and Wien.Example.org, Ludwig") == "<host> and <host>, Ludwig"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("mail me@example.org now", "mail <mail> now"),
        ("open /Volumes/Anna/x.wav: no", "open <path>: no"),
        ("open ~/x.wav, '/tmp/a b'", "open <path>, '<path> b'"),
        ("file:///data/x.wav", "<path>"),
        ("Ludwig van B and LUDWIG", "<user> and <user>"),
        ("card 0242AC110007", "card <mac>"),
        ("this is c02xk1zjq05d", "this is <serial>"),
        ("/usr/lib/x.so and /sys/fs/cgroup/memory.peak", None),
        ("faster-whisper@1.2.1 of Systran/faster-whisper-tiny.en, RTF/s, https://x.org/y", None),
    ],
)
def test_what_is_given_away_has_no_paths_no_mail_and_nothing_of_this_machine(
    text: str, left: str | None
) -> None:
    assert scrub_for_others(text) == (text if left is None else left)
    assert scrub_for_others(scrub_for_others(text)) == scrub_for_others(text)


def test_what_is_secret_here_is_known_by_kind_the_longest_first(
    identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "correct horse battery")
    found = secrets()
    assert [len(each.text) for each in found] == sorted((len(x.text) for x in found), reverse=True)
    kinds = {each.text: each.kind for each in found}
    assert kinds["correct horse battery"] == "token"
    assert kinds[str(identity)] == "home folder"
    assert kinds["ludwig"] == kinds["Ludwig van B"] == "user name"
    assert kinds["wien"] == kinds["wien.example.org"] == "host name"
    assert kinds["0242ac110007"] == "MAC address"
    assert kinds["C02XK1ZJQ05D"] == "serial number"


@pytest.mark.parametrize(
    ("text", "word"),
    [("ludwig", True), ("Ludwig van B", True), ("wien-7", False), ("m2", False), ("x_y", False)],
)
def test_a_secret_of_letters_may_be_a_word_that_somebody_says(text: str, word: bool) -> None:
    assert Secret("user name", text).may_be_a_word is word


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("C02XK1ZJQ05D", True),
        ("b1c3d5e7f90a4b2c8d6e1f3a5b7c9d0e", True),
        ("Default string", False),
        ("To be filled by O.E.M.", False),
        ("0123456789", False),
        ("00000000-0000-0000-0000-000000000000", False),
        ("1234", False),
        ("", False),
    ],
)
def test_serial_numbers_that_makers_leave_blank_are_none(text: str, says: bool) -> None:
    assert privacy._is_real_serial(text) is says


@pytest.mark.parametrize(
    "word",
    [
        "a.b-",
        "/",
        "A",
        "serial ",
        "aa:bb-",
        "hf_",
        "eyJaaaaaaaaa.",
        "GPU-",
        "~",
        "file://",
        "a@b.",
        "@",
    ],
)
def test_a_log_that_was_made_to_take_for_ever_does_not(word: str) -> None:
    begun_s = time.process_time()
    scrub_for_others(word * (100_000 // len(word)))
    assert time.process_time() - begun_s < 5  # a tenth of a second; quadratic ones take minutes
