"""Foreign text is shown without what acts unseen, and with everything that belongs to it."""

from __future__ import annotations

import sys

import pytest

from mac_whisper_speedtest.printable import printable, printable_line, printable_name


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("\x1b[31mred\x00\x7f\x9b", "\ufffd[31mred\ufffd\ufffd\ufffd"),
        ("left\u202eright\u2066\u200f", "left\ufffdright\ufffd\ufffd"),
        ("\ud800\U000e0041\ufeff\uffff", "\ufffd" * 4),
        ("one\r\ntwo\rthree\n\tfour", "one\ntwo\nthree\n\tfour"),
        ("é, 漢字, ש, नमस्ते, نمی‌خواهم, 👩‍👩‍👧", "é, 漢字, ש, नमस्ते, نمی‌خواهم, 👩‍👩‍👧"),
    ],
)
def test_what_acts_unseen_is_replaced_and_text_stays(given: str, shown: str) -> None:
    assert printable(given) == shown


def test_a_line_has_no_breaks_and_a_name_only_what_is_printable() -> None:
    assert printable_line(" one\n two\u2028\x1b ") == "one two \ufffd"
    assert printable_name("a\nb\t\x1b[31mc\u00ad") == "a b [31mc"


def test_no_control_character_and_nothing_that_utf_8_or_xml_cannot_hold_is_left() -> None:
    every = printable("".join(map(chr, range(sys.maxunicode + 1))))
    every.encode()
    assert not [each for each in every if each < " " and each not in "\t\n"]
    assert not set(every) & {"\x7f", "\x85", "\ufffe", "\uffff"}
