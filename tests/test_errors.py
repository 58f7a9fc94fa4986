"""What an error quotes of a file or a server neither acts on a terminal nor fills it."""

from __future__ import annotations

from mac_whisper_speedtest.errors import LONGEST_MESSAGE, WeightsError


def test_an_error_quotes_no_character_that_acts_unseen() -> None:
    error = WeightsError("tensor \x1b[2J\u202eevil is missing", hint="fetch \x07it\nagain")
    assert error.message == "tensor \ufffd[2J\ufffdevil is missing"
    assert error.hint == "fetch \ufffdit\nagain"
    assert str(error) == error.message


def test_an_error_is_no_longer_than_a_person_reads() -> None:
    assert len(WeightsError("x" * 10**6).message) == LONGEST_MESSAGE + 1
