"""Nothing is fetched from addresses that are not on the public internet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mac_whisper_speedtest.audio.address import STRICT, checked_numbers, is_public, parse_address
from mac_whisper_speedtest.errors import DownloadError, SpeedtestError, UsageError

HTTP = replace(STRICT, allow_http=True)


@pytest.mark.parametrize(
    "number",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
        *("255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"),
        *("168.63.129.16", "192.0.0.192", "::ffff:168.63.129.16", "64:ff9b::a83f:8110"),
        *("192.88.99.1", "64:ff9b:1::1", "3fff::1", "5f00::1", "::169.254.169.254"),
        *("2001:db8::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "fec0::1", "localhost", ""),
    ],
)
def test_addresses_of_this_machine_this_network_and_nobody_are_not_public(number: str) -> None:
    assert not is_public(number)


@pytest.mark.parametrize(
    "number", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_of_the_internet_are_public(number: str) -> None:
    assert is_public(number)


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    policy = replace(STRICT, resolve=lambda _host, _port: ["8.8.8.8", "10.0.0.1"])

    with pytest.raises(DownloadError, match=r"audio\.test resolves to 10\.0\.0\.1, which is not"):
        checked_numbers(parse_address("https://audio.test/a.wav", policy), policy)


@pytest.mark.parametrize(
    "url",
    [
        *("https://127.0.0.1/a", "https://2130706433/a", "https://0x7f.1/a", "https://[::1]/a"),
        *("https://localhost/a", "https://127.1:8443/a"),
    ],
)
def test_every_spelling_of_this_machine_is_refused(url: str) -> None:
    with pytest.raises(DownloadError, match=r"not on the public internet|cannot find"):
        checked_numbers(parse_address(url, STRICT), STRICT)


def test_a_name_that_nobody_knows_is_said() -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    policy = replace(STRICT, resolve=unknown)

    with pytest.raises(DownloadError, match=r"cannot find audio\.test: Name or service"):
        checked_numbers(parse_address("https://audio.test/a.wav", policy), policy)


def test_an_address_is_taken_apart_and_made_fit_to_send() -> None:
    address = parse_address("https://Bücher.example:8443/söng 1%20.mp3?key=a b#part", STRICT)

    assert address.host == "xn--bcher-kva.example"
    assert address.authority == "xn--bcher-kva.example:8443"
    assert address.target == "/s%C3%B6ng%201%20.mp3?key=a%20b"
    assert address.name == "söng 1 .mp3"


@pytest.mark.parametrize("url", ["https://audio.test", "https://audio.test/?token=secret"])
def test_an_address_without_a_file_is_called_by_its_host(url: str) -> None:
    assert parse_address(url, STRICT).name == "audio.test"


def test_a_redirect_is_joined_to_where_it_came_from() -> None:
    address = parse_address("https://audio.test:444/a/b?x", STRICT)

    assert address.joined("../c") == "https://audio.test:444/c"
    assert address.joined("//other.test/d") == "https://other.test/d"
    assert parse_address("http://[2606:4700::1]/a", HTTP).joined("/b") == "http://[2606:4700::1]/b"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://audio.test/a.wav", "not encrypted"),
        ("ftp://audio.test/a.wav", "over https, not ftp"),
        ("file:///etc/passwd", "over https, not file"),
        ("https:///a.wav", "names no host"),
        ("https://audio.test:99999/a", "malformed"),
        ("https://[::1/a", "malformed"),
        (f"https://{'a' * 64}.test/", "malformed"),
        ("https://me:hunter2@audio.test/a.wav", "contains a login"),
    ],
)
def test_other_addresses_are_refused_without_repeating_secrets(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse_address(url, STRICT)
    assert isinstance(caught.value, SpeedtestError)
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint


def test_http_is_fetched_where_it_is_allowed() -> None:
    assert parse_address("http://audio.test/a.wav", HTTP).port == 80
