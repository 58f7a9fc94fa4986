"""Secrets are known by their form and by the names before them; ordinary text stays as it is."""

from __future__ import annotations

import random
import time

import pytest

from fakes.secret_forms import FakeSecret, secrets_of_every_kind
from mac_whisper_speedtest import secret_forms
from mac_whisper_speedtest.privacy import environment_secrets, scrub
from mac_whisper_speedtest.secret_forms import is_plain, without_secrets

KINDS = {each.kind: each for each in secrets_of_every_kind(random.Random(1))}


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in KINDS.values():
        for name, value in each.variables:
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("around", ["{}", "a\n{}\nb", "before {} after", '"{}"'])
def test_a_secret_of_every_kind_is_removed_wherever_it_is(kind: str, around: str) -> None:
    each = KINDS[kind]
    left = scrub(around.format(each.text))
    assert not [part for part in each.parts if part in left]
    assert scrub(left) == left


def test_a_log_with_all_of_them_keeps_the_lines_between() -> None:
    rnd = random.Random(2)
    for _ in range(20):
        order = rnd.sample(list(KINDS.values()), len(KINDS))
        log = "\n".join(f"line {n}\n{each.text}\n" for n, each in enumerate(order))
        left = scrub(log)
        assert not [part for each in order for part in each.parts if part in left]
        assert all(f"line {n}\n" in left for n in range(len(order)))


@pytest.mark.parametrize("kind", ["private key", "private key in JSON"])
def test_a_private_key_that_was_cut_off_at_either_end_is_removed(kind: str) -> None:
    each: FakeSecret = KINDS[kind]
    for cut in (40, 100):
        for text in (each.text[cut:], each.text[:-cut]):
            left = without_secrets(f"log: {text}" if text is each.text[:-cut] else text)
            assert not [part for part in each.parts if part[:16] in left]


@pytest.mark.parametrize(
    "text",
    [
        "eos_token=<|endoftext|> pad_token_id=50257 max_tokens=448, tokens: 224",
        "suppress_tokens=-1, token=5.0, token: 50257",
        "ValueError: sort_key=name is none of date, size",
        "KeyError: 'key'",
        "got an unexpected keyword argument 'token'",
        "basic transcription of basic transcribing; a bearer of news",
        "passes=3, pass 2 of 3, pass=1: 0.5 s",
        '{"token": " the", "auth": "none", "pass": "first"} token=+1.5',
        "signature: (a, b) -> c",
        "author: John Smith; design: a1b2c3d4e5f6; monkey=abc123def456",
        "response=<Response [200]>",
        "https://example.org/x?download=true&revision=0123456789abcdef0123456789abcdef01234567",
        "whisper-large-v3-turbo int8_float16 large-v3 12.4.1 x86_64-linux-gnu",
        "And so my fellow Americans, ask not what your country can do for you. 100 % sure.",
        "sha256 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "Authorization failed. The cookies are baked: done.",
        "--model tiny.en --key-frames 3 --passes 5",
        "",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert scrub(text) == text


def test_json_stays_json() -> None:
    assert without_secrets('{"password":1234,"b":2}') == '{"password":"<token>","b":2}'
    assert without_secrets('{"apiKey":"x1y2","b":2}') == '{"apiKey":"<token>","b":2}'


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("large-v3-turbo", True),
        ("int8_float16", True),
        ("xterm-256color", True),
        ("en_US.UTF-8", True),
        ("AMD EPYC 9B14", True),
        ("https://hf-mirror.com", True),
        ("cuda>=12.4 brand=tesla,driver>=470", True),
        ("Apple_Terminal", True),
        ("a1b2c3d4e5", False),
        ("AbCdEfGhIjKlMnOp", False),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", False),
        ("550e8400-e29b-41d4-a716-446655440000", False),
    ],
)
def test_words_numbers_and_versions_are_plain(value: str, plain: bool) -> None:
    assert is_plain(value) is plain


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("DB_PASS", "hunter2", True),
        ("DB_PASS", "12345678", True),
        ("SSH_KEY", "/home/x/.ssh/id_rsa", False),
        ("SSH_AUTH_SOCK", "/tmp/ssh-a1b2c3d4/agent.1", False),
        ("MY_AUTH", "whisper", False),
        ("MY_AUTH", "turquoise", True),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("PWD", "/srv/a1b2c3d4e5", False),
        ("COLOR_OF_DOOR", "turquoise", False),
        ("WHISPER_MODEL", "large-v3-turbo", False),
        ("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567", False),
        ("TERM_PROGRAM_VERSION", "3.4.19", False),
        ("CUDA_VISIBLE_DEVICES", "0,1", False),
        ("INVOCATION", "a1b2c3d4e5f6", True),
        ("BUILD_NUMBER", "202611301200", False),
        ("BUILD_VCS", "0123456789abcdef0123456789abcdef01234567", False),
        ("WANDB_API_KEY", "0123456789abcdef0123456789abcdef01234567", True),
    ],
)
def test_a_variable_is_a_secret_unless_it_is_plainly_something_else(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, secret: bool
) -> None:
    monkeypatch.setenv(name, value)
    assert (value in {each.text for each in environment_secrets()}) is secret
    assert (scrub(f"said {value}.") != f"said {value}.") is (secret or value.startswith("/home"))


def test_the_variables_of_a_usual_machine_take_no_word_out_of_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for each in KINDS.values():
        for name, _ in each.variables:
            monkeypatch.delenv(name)
    usual = {
        "TERM_PROGRAM": "Apple_Terminal",
        "TERM_PROGRAM_VERSION": "455.1",
        "TERM_SESSION_ID": "A1B2C3D4-0000-4000-8000-00A1B2C3D4E5",
        "SSH_AUTH_SOCK": "/private/tmp/com.apple.launchd.a1B2c3D4e5/Listeners",
        "XPC_FLAGS": "0x0",
        "__CF_USER_TEXT_ENCODING": "0x1F5:0x0:0x0",
        "LC_CTYPE": "en_US.UTF-8",
        "LS_COLORS": "rs=0:di=01;34:ln=01;36:*.tar=01;31:*.7z=01;31",
        "CONDA_DEFAULT_ENV": "whisper-py311",
        "CUDA_VERSION": "12.4.1",
        "NVIDIA_REQUIRE_CUDA": "cuda>=12.4 brand=tesla,driver>=470,driver<471",
        "OMP_NUM_THREADS": "16",
        "WHISPER_MODEL": "large-v3-turbo",
        "MODEL_ID": "openai/whisper-large-v3-turbo",
        "DEVICE": "mps:0",
        "PRECISION": "int8_float16",
        "ImageOS": "ubuntu24",
        "RUNNER_ARCH": "X64",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_RUN_ID": "19876543210",
        "GITHUB_SHA": "0123456789abcdef0123456789abcdef01234567",
        "PYTHONHASHSEED": "0",
        "UV_INDEX_URL": "https://pypi.org/simple",
        "TZ": "Europe/Berlin",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
    }
    for name, value in usual.items():
        monkeypatch.setenv(name, value)
    found = {each.text for each in environment_secrets()}
    assert found & set(usual.values()) == {usual["TERM_SESSION_ID"]}


@pytest.mark.parametrize(
    "word",
    [
        *("a.b-", "token", "token=", "password: '", "key='", "cookie: a=b;", "?key", "&a", "?a="),
        *("Basic ", "authorization: ", "api_", "\\", "'", "--key ", "login a ", "%41", "x=", "%"),
        *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "A" * 64 + "\n", "://a"),
    ],
)
def test_a_text_that_was_made_to_take_long_does_not(word: str) -> None:
    begun_s = time.process_time()
    scrub(word * (100_000 // len(word)))
    assert time.process_time() - begun_s < 3  # a fifth of a second; quadratic ones take minutes


def test_every_form_of_a_token_begins_as_it_is_said_to() -> None:
    for begin in secret_forms.TOKEN_BEGINNINGS:
        assert begin in secret_forms.TOKEN.pattern.replace("\\", "")
