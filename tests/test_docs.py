"""Pages lead where they say, are short enough to be read, and use the glossary's words."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GLOSSARY = DOCS / "glossary.md"
GUIDE = sorted((DOCS / "guide").glob("*.md"))
BY_HAND = [page for page in sorted(DOCS.rglob("*.md")) if page.parent.name != "reference"]
PAGES = [
    path
    for folder in ("*.md", "docs/**/*.md", "bridges/**/*.md", "benchmarks/**/*.md")
    for path in sorted(ROOT.glob(folder))
    if ".build" not in path.parts
]
SOURCES = [
    path
    for folder in ("src/**/*.py", "src/**/*.toml", "tests/**/*.py", "examples/*", "install.py")
    for path in sorted(ROOT.glob(folder))
]
ODD_WORDS = re.compile(
    r"\b(told|wanted|anew|nobody|whoever|thirstier|in vain|of no use|taken? again"
    r"|(go|goes|gone) on with)\b".replace(" ", r"[\s#/*\"]+"),
    re.IGNORECASE,
)
"""What a plainer word says better, also where a line ends inside it."""
MOST_WORDS = 900
"""Of README and a page of the guide, with its commands and tables."""
MOST_WORDS_BY_HAND = 30_000
"""Of all pages in docs that are not generated."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def prose(page: Path) -> str:
    """The page without its blocks of code."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


@cache
def anchors(page: Path) -> set[str]:
    """What a code host makes of the page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", shown).strip().replace(" ", "-")
        again = sum(
            each == anchor or re.fullmatch(rf"{anchor}-\d+", each) is not None for each in found
        )
        found.add(f"{anchor}-{again}" if again else anchor)
    return found


def links(page: Path) -> list[str]:
    """Where its links lead, web addresses left out."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    targets = re.findall(r"\]\(\s*([^)\s]+)\s*\)", text)
    return [each for each in targets if not re.match(r"[a-z]+:", each)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_page_and_its_heading(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: no file: {link}"
        if anchor:
            assert anchor in anchors(target), f"{name(page)}: no heading: {link}"


def test_pages_that_the_source_names_exist() -> None:
    """In messages, docstrings, comments and tests."""
    missing = [
        f"{name(path)}: {page}{anchor}"
        for path in SOURCES
        for page, anchor in re.findall(
            r"\b(docs/[\w/.-]+?\.md)(#[\w-]+)?\b", path.read_text(encoding="utf-8")
        )
        if not (ROOT / page).exists() or (anchor and anchor[1:] not in anchors(ROOT / page))
    ]
    assert missing == []


@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDE], ids=name)
def test_a_page_of_the_guide_is_read_at_one_sitting(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").split()) <= MOST_WORDS


def test_the_index_has_every_page_that_is_written_by_hand() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(index)}
    assert {*BY_HAND} - {index} <= linked


def test_there_is_no_more_to_read_than_somebody_reads() -> None:
    words = sum(len(page.read_text(encoding="utf-8").split()) for page in BY_HAND)
    assert words <= MOST_WORDS_BY_HAND


def test_no_page_and_no_source_has_an_odd_word() -> None:
    bridges = {each for each in ROOT.glob("bridges/**/*.swift") if ".build" not in each.parts}
    written = {
        *(page for page in PAGES if page.name != "CHANGELOG.md"),
        *(path for path in (ROOT / "src").rglob("*.*") if path.suffix in {".py", ".toml", ".html"}),
        *(each for each in bridges if "stubs" not in each.parts),
    }
    found = [
        f"{name(path)}: {odd[0]}"
        for path in sorted(written)
        for odd in ODD_WORDS.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def terms() -> list[str]:
    return re.findall(r"^## (.+)$", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_glossary_is_in_order() -> None:
    assert terms() == sorted(terms(), key=str.casefold)


@pytest.mark.parametrize("term", terms())
def test_a_term_is_one_that_the_program_uses(term: str) -> None:
    form = re.compile(rf"\b{re.escape(term)}\b".replace(r"\ ", r"[\s_-]+"), re.IGNORECASE)
    used = (path for path in SOURCES if "src" in path.parts)
    assert any(form.search(path.read_text(encoding="utf-8")) for path in used)


@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDE], ids=name)
def test_a_linked_term_is_that_of_the_glossary_and_linked_once(page: Path) -> None:
    linked = [link.partition("#")[2] for link in links(page) if "glossary.md#" in link]
    assert len(linked) == len(set(linked))
    assert set(linked) <= anchors(GLOSSARY)
