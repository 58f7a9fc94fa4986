"""Text stays text, whatever is in it."""

from __future__ import annotations

import jinja2
import pytest

from mac_whisper_speedtest.printable import clipped
from mac_whisper_speedtest.report.html.charts import DotRow, dot_plot, element
from mac_whisper_speedtest.report.html.page import page, render
from parsed_html import parse


def test_plain_text_is_escaped_where_it_is_put_in_and_html_is_not() -> None:
    made = element("p", "1 < 2 & ", element("b", "“x”"), title='a "quoted" <value>')
    found = parse(made).one("p")
    assert found.text == "1 < 2 & “x”"
    assert found.attributes == {"title": 'a "quoted" <value>'}
    assert [each.name for each in found.walk()] == ["p", "b"]


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
        ("carriage\rreturn\r\n", "carriagereturn\n"),
        ("tag\U000e0041", "tag⟨U+E0041⟩"),
        (
            "kept:\ttab and\nline, and é, 漢字, ש, नमस्ते, 👩‍👩‍👧",
            "kept:\ttab and\nline, and é, 漢字, ש, नमस्ते, 👩‍👩‍👧",
        ),
    ],
)
def test_what_acts_without_being_seen_is_made_visible(given: str, shown: str) -> None:
    made = page(title=given, body=dot_plot("p", [DotRow("a", 1.0)], axis="x", title=given))
    assert f"<title>{shown}</title>" in made
    assert f'<title id="p-title">{shown}</title>' in made
    made.encode()


def test_attributes_are_named_as_in_html_and_empty_ones_left_out() -> None:
    made = element("text", "x", class_="number", text_anchor="end", aria_label="", id="")
    assert made == '<text class="number" text-anchor="end">x</text>'


def test_elements_without_content_are_closed_in_place() -> None:
    assert element("circle", r="3") == '<circle r="3"/>'
    assert element("circle", element("title", "t"), r="3") == (
        '<circle r="3"><title>t</title></circle>'
    )


def test_a_name_that_a_template_lacks_is_an_error_and_not_an_empty_text() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'policy' is undefined"):
        render("page.html", title="t")


def test_a_long_text_says_how_much_of_it_is_missing() -> None:
    assert clipped("abc", 3) == "abc"
    assert clipped("abcdef", 2) == "ab… (4 characters more)"
