"""What names a person or opens a door is taken out of a text; the rest stays as it is."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mac_whisper_speedtest import privacy
from mac_whisper_speedtest.privacy import scrub

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
    privacy._names.cache_clear()
    yield home
    privacy._names.cache_clear()


@pytest.mark.parametrize(
    "token",
    [
        f"hf_{LETTERS}",
        f"sk-{LETTERS}",
        f"sk-proj-{LETTERS}",
        *(f"gh{kind}_{LETTERS}" for kind in "pousr"),
        f"Bearer {LETTERS}",
        f"bearer  {LETTERS}.{LETTERS}",
    ],
)
@pytest.mark.parametrize("around", ["{}", "token={}, next", '{{"key": "{}"}}', "a\n{}\nb"])
def test_a_token_is_taken_out_wherever_it_stands(token: str, around: str) -> None:
    assert scrub(around.format(token)) == around.format("<token>")


def test_several_tokens_in_one_text_are_all_taken_out() -> None:
    assert scrub(f"hf_{LETTERS} and hf_{LETTERS[::-1]}") == "<token> and <token>"


@pytest.mark.parametrize(
    ("address", "left"),
    [
        ("https://me:secret@example.org/simple", "https://example.org/simple"),
        ("git+ssh://git@example.org/x.git", "git+ssh://example.org/x.git"),
        ("HTTPS://me@example.org", "HTTPS://example.org"),
    ],
)
def test_a_login_is_taken_out_of_an_address(address: str, left: str) -> None:
    assert scrub(f"cannot reach {address} now") == f"cannot reach {left} now"


@pytest.mark.parametrize(
    "variable", ["MY_TOKEN", "DB_PASSWORD", "CLIENT_SECRET", "OPENAI_API_KEY", "some_credential"]
)
def test_the_value_of_a_variable_named_like_a_secret_is_taken_out(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "correct horse battery")
    assert scrub("tried 'correct horse battery' twice") == "tried '<token>' twice"


def test_a_short_value_and_a_variable_with_another_name_take_nothing_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("COLOR_OF_DOOR", "turquoise")
    assert scrub("false turquoise") == "false turquoise"


@pytest.mark.parametrize("after", ["", "/models/tiny", " is full", ":3", "'", '"', ",", ")", "]"])
def test_the_home_folder_becomes_a_tilde(identity: Path, after: str) -> None:
    assert scrub(f"open {identity}{after}") == f"open ~{after}"


def test_a_folder_whose_name_only_begins_like_the_home_folder_stays(identity: Path) -> None:
    assert scrub(f"{identity}er/x") == f"{identity}er/x"


def test_the_home_folder_is_found_behind_a_link(
    identity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(identity)
    monkeypatch.setenv("HOME", str(link))
    assert scrub(f"{link}/a {identity}/b") == "~/a ~/b"


@pytest.mark.parametrize("root", ["/Users", "/home"])
def test_home_folders_of_other_machines_become_a_tilde_too(root: str) -> None:
    assert scrub(f'File "{root}/clara/lib/x.py", line 3') == 'File "~/lib/x.py", line 3'


def test_the_users_and_the_hosts_names_are_replaced_as_whole_words() -> None:
    assert scrub("ludwig@wien.example.org: /tmp/ludwig/x") == "<user>@<host>: /tmp/<user>/x"
    assert scrub("on wien, by ludwig_1") == "on <host>, by <user>_1"
    assert scrub("ludwigs wiener") == "ludwigs wiener"


@pytest.mark.parametrize("name", ["root", "Ubuntu", "ed"])
def test_a_name_that_everybody_has_or_that_is_too_short_stays(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LOGNAME", name)
    privacy._names.cache_clear()
    assert scrub(f"{name} said so") == f"{name} said so"


def test_a_user_without_a_name_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", nameless)
    privacy._names.cache_clear()
    assert scrub("ludwig on wien") == "ludwig on <host>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "And so my fellow Americans, ask not what your country can do for you.",
        "ValueError: beam_size must be >= 1, got -1",
        "https://example.org/simple/ says 404",
        "mail me@example.org",
        "hf_hub is half a token; sk-1; a bearer of news",
        'File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode',
        "Größe – 12 MB × 3 … 東京",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert scrub(text) == text


def test_scrubbing_twice_changes_nothing_more(identity: Path) -> None:
    once = scrub(f"ludwig {identity}/x hf_{LETTERS} https://a:b@wien.example.org")
    assert scrub(once) == once == "<user> ~/x <token> https://<host>"
