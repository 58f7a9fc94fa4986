"""Text stays text, whatever is in it."""

from __future__ import annotations

import pytest

from mac_whisper_speedtest.report.html.page import Html, clipped, escaped, join, tag
from parsed_html import parse


def test_plain_text_is_escaped_where_it_is_put_in_and_html_is_not() -> None:
    made = tag("p", "1 < 2 & ", tag("b", "“x”"), title='a "quoted" <value>')
    element = parse(made).one("p")
    assert element.text == "1 < 2 & “x”"
    assert element.attributes == {"title": 'a "quoted" <value>'}
    assert [each.name for each in element.walk()] == ["p", "b"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("\u2066\u200f", "⟨U+2066⟩⟨U+200F⟩"),
        ("nul\x00esc\x1b", "nul␀esc␛"),
        ("\x7f\x85", "␡⟨U+0085⟩"),
        ("\ud800", "\ufffd"),
        ("line\u2028end", "line⟨U+2028⟩end"),
        (
            "kept:\ttab and\nline, and é, 漢字, ש, नमस्ते, 👩‍👩‍👧",
            "kept:\ttab and\nline, and é, 漢字, ש, नमस्ते, 👩‍👩‍👧",
        ),
    ],
)
def test_what_acts_without_being_seen_is_made_visible(given: str, shown: str) -> None:
    assert escaped(given) == shown
    escaped(given).encode()


def test_attributes_are_named_as_in_html() -> None:
    made = tag("td", "x", class_="number", data_value=3, aria_label=None, hidden=True, id=False)
    assert made == '<td class="number" data-value="3" hidden>x</td>'


def test_void_elements_are_not_closed() -> None:
    assert tag("br") == "<br>"
    assert tag("circle", r="3") == '<circle r="3"/>'
    assert tag("circle", tag("title", "t"), r="3") == '<circle r="3"><title>t</title></circle>'


def test_joining_escapes_each_part_and_what_is_between() -> None:
    assert join(["a<", Html("<b>c</b>")], " & ") == "a&lt; &amp; <b>c</b>"


def test_a_long_text_says_how_much_of_it_is_missing() -> None:
    assert clipped("abc", 3) == "abc"
    assert clipped("abcdef", 2) == "ab… (4 characters more)"
