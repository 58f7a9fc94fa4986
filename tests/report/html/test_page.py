"""The frame of every page: one file, a strict policy, nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from mac_whisper_speedtest.report.html.page import page
from parsed_html import Element, parse


def policy(document: Element) -> dict[str, list[str]]:
    (meta,) = document.all("meta", http_equiv="Content-Security-Policy")
    content = meta.attributes["content"] or ""
    parts = [part.split() for part in content.split(";")]
    return {name: sources for name, *sources in parts}


def hashes(document: Element, name: str) -> list[str]:
    digests = [hashlib.sha256(each.text.encode()).digest() for each in document.all(name)]
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


def test_the_policy_allows_the_pages_own_blocks_and_nothing_else() -> None:
    document = parse(page(title="t", body="", styles="p{color:red}", scripts="let x = 1;"))
    assert policy(document) == {
        "default-src": ["'none'"],
        "style-src": hashes(document, "style"),
        "script-src": hashes(document, "script"),
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    assert len(document.all("style")) == len(document.all("script")) == 2


def test_the_policy_comes_before_everything_that_it_rules() -> None:
    text = page(title="t", body="")
    assert text.index("Content-Security-Policy") < text.index("<style") < text.index("<script")
    assert text.index('charset="utf-8"') < 1024


def test_nothing_in_it_has_an_address() -> None:
    assert re.findall(r"(?i)\b(?:https?:)?//[a-z]", page(title="t", body="")) == []


def test_the_title_is_text_and_the_body_is_html() -> None:
    document = parse(page(title="a </title> & b", body="<p>x</p>"))
    assert document.one("title").text == "a </title> & b"
    assert document.one("main").one("p").text == "x"


def test_it_can_be_skipped_to_the_content() -> None:
    document = parse(page(title="t", body=""))
    first = next(each for each in document.one("body").walk() if each.name != "body")
    assert first.attributes["href"] == "#main"
    assert document.one("main").attributes["id"] == "main"


@pytest.mark.parametrize("block", ["styles", "scripts"])
@pytest.mark.parametrize("bad", ["</STYLE ></style>", "x</script>", "<!-- "])
def test_css_or_script_that_would_end_its_own_element_is_refused(block: str, bad: str) -> None:
    ends_other = (block == "styles") != ("style" in bad.lower()) and "<!--" not in bad
    if ends_other:
        page(title="t", body="", **{block: bad})
    else:
        with pytest.raises(ValueError, match="would end it"):
            page(title="t", body="", **{block: bad})


def test_the_same_content_gives_the_same_bytes() -> None:
    assert page(title="t", body="b", styles="s{}") == page(title="t", body="b", styles="s{}")
