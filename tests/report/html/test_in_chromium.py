"""The report in a real browser without a network: nothing complains, everything can be used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from browser import DESK, PHONE, visit
from fakes.events import SPOKEN
from fakes.recordings import collection
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.report.html.report import render_report

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pages and pictures go; ``SPEEDTEST_SCREENSHOTS`` keeps them for looking at."""
    kept = os.environ.get("SPEEDTEST_SCREENSHOTS")
    return Path(kept) if kept else tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def page_path(folder: Path) -> Path:
    """A report with everything in it, among it names that try to break out."""
    said = {f"recording {number}": f"{SPOKEN} number {number}" for number in range(6)}
    wrote = {**said, "recording 3": "it was <b>the</b> first of times \u202e and no more"}
    run = run_of(
        FakeCell("faster-whisper", rtf=0.10, text=wrote, joules=50.0),
        FakeCell("whisper.cpp", rtf=0.15, text=said, joules=80.0, retaken=[1]),
        FakeCell("mlx-whisper", rtf=0.153, text=said, joules=70.0, spread=0.05),
        FakeCell("whisper-mps", rtf=0.07, text="nothing of the kind was ever said", joules=40.0),
        FakeCell(
            "openai-whisper",
            rtf=0.4,
            text=said,
            settings={"beam_size": 5},
            joules=200.0,
            sample={"disturbed": "other programs used 1.60 cores (limit 0.10)"},
        ),
        FakeCell("whisperx", ending="crashed", message="<script>alert(1)</script>", log="the end"),
        speech=collection(said),
        rounds=8,
        passes=2,
    ).run
    path = folder / "report.html"
    path.write_text(render_report(run, label="12"), encoding="utf-8")
    return path


def first_column(page: Any, table: str) -> list[str]:
    found: list[str] = page.locator(f"#{table} tbody th[scope=row]").all_inner_texts()
    return found


def test_nothing_complains_and_nothing_is_asked_for(chromium: Any, page_path: Path) -> None:
    with visit(chromium, page_path) as visited:
        visited.page.wait_for_timeout(200)
        assert visited.complaints == []
        assert visited.requests == [page_path.resolve().as_uri()]


def test_the_policy_stops_what_is_smuggled_in(chromium: Any, page_path: Path, folder: Path) -> None:
    """The policy is what holds if an escape were ever forgotten; so take the escapes away."""
    smuggled = page_path.read_text(encoding="utf-8").replace(
        '<main id="main" tabindex="-1">',
        '<main id="main" tabindex="-1"><script>document.title = "taken"</script>'
        '<img src="https://example.org/x.png" onerror="document.title = \'taken\'">'
        '<p id="styled" style="color: rgb(1, 2, 3)">x</p>',
    )
    assert "taken" in smuggled
    path = folder / "smuggled.html"
    path.write_text(smuggled, encoding="utf-8")
    with visit(chromium, path) as visited:
        visited.page.wait_for_timeout(200)
        assert "taken" not in visited.page.title()
        color = visited.page.eval_on_selector("#styled", "each => getComputedStyle(each).color")
        assert color != "rgb(1, 2, 3)"
        assert any("Content Security Policy" in said for said in visited.console)


def test_a_table_is_sorted_by_mouse(chromium: Any, page_path: Path) -> None:
    with visit(chromium, page_path) as visited:
        page = visited.page
        before = first_column(page, "ranking-t0")
        heading = page.locator("#ranking-t0 thead th", has_text="WER")
        speed = page.locator("#ranking-t0 thead th", has_text="RTFx")
        speed.get_by_role("button").click()
        assert speed.get_attribute("aria-sort") == "ascending"
        up = first_column(page, "ranking-t0")
        speed.get_by_role("button").click()
        assert speed.get_attribute("aria-sort") == "descending"
        down = first_column(page, "ranking-t0")
        # Rows stay in their group: the first body has three cells, the others one each.
        assert up[:3] == down[:3][::-1]
        assert up[3:] == down[3:] == before[3:]
        heading.get_by_role("button").click()
        assert speed.get_attribute("aria-sort") is None
        speed.get_by_role("button").click(click_count=1)
        for _ in range(2):
            speed.get_by_role("button").click()
        assert speed.get_attribute("aria-sort") is None
        assert first_column(page, "ranking-t0") == before
        assert visited.complaints == []


def test_a_table_is_sorted_by_keyboard(chromium: Any, page_path: Path) -> None:
    with visit(chromium, page_path) as visited:
        page = visited.page
        button = page.locator("#ranking-t0 thead th", has_text="median s").get_by_role("button")
        button.focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Space")
        heading = page.locator("#ranking-t0 thead th", has_text="median s")
        assert heading.get_attribute("aria-sort") == "descending"
        assert button.evaluate("each => each === document.activeElement")


def test_the_first_tab_skips_to_the_content(chromium: Any, page_path: Path) -> None:
    with visit(chromium, page_path) as visited:
        page = visited.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def test_samples_can_be_filtered_by_words_and_choices(chromium: Any, page_path: Path) -> None:
    with visit(chromium, page_path) as visited:
        page = visited.page
        page.locator("#all-samples summary").first.click()
        filters = page.locator("#all-samples .filters")
        every = page.locator("#samples tbody tr").count()
        assert filters.locator("output").inner_text() == f"{every} rows"
        filters.locator("select[data-key=state]").select_option("retaken")
        assert page.locator("#samples tbody tr:visible").count() == 1
        assert filters.locator("output").inner_text() == f"1 of {every} rows"
        filters.locator("select[data-key=state]").select_option("")
        filters.locator("input").fill("WHISPER.CPP recording")
        shown = page.locator("#samples tbody tr:visible")
        assert shown.count() == 8 * (1 + 2 * 6) + 1  # a warm-up a round, and one taken again
        filters.locator("input").press("Enter")  # a form would be sent, and stopped loudly
        assert visited.complaints == []


def test_dark_and_light_follow_the_system_until_the_button_is_used(
    chromium: Any, page_path: Path
) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    for dark in (False, True):
        with visit(chromium, page_path, dark=dark) as visited:
            page = visited.page
            before = page.evaluate(ground)
            assert (before == "rgb(255, 255, 255)") is not dark
            page.locator("button.theme").click()
            after = page.evaluate(ground)
            assert (after == "rgb(255, 255, 255)") is dark
            stored = "localStorage.length + sessionStorage.length + document.cookie.length"
            assert page.evaluate(stored) == 0
            assert visited.complaints == []


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(chromium: Any, page_path: Path, dark: bool) -> None:
    """4.5 to 1 at least (WCAG 2.2, 1.4.3), for every color that text is given here."""
    script = """() => {
      const light = (text) => {
        const [r, g, b] = text.match(/[0-9.]+/g).slice(0, 3).map((c) => {
          const s = Number(c) / 255;
          return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ground = (e) => {
        for (; e; e = e.parentElement) {
          const found = getComputedStyle(e).backgroundColor;
          if (!/, 0\\)$/.test(found)) return found;
        }
        return "rgb(255, 255, 255)";
      };
      const bad = [];
      for (const e of document.querySelectorAll("main *:not(svg):not(svg *)")) {
        if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
        const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) bad.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)}`);
      }
      return [...new Set(bad)];
    }"""
    with visit(chromium, page_path, dark=dark) as visited:
        assert visited.page.evaluate(script) == []


def test_a_phone_never_scrolls_the_page_sideways(chromium: Any, page_path: Path) -> None:
    with visit(chromium, page_path, size=PHONE) as visited:
        page = visited.page
        assert visited.overflow == 0
        for each in page.locator("details").all():
            each.evaluate("each => { each.open = true; }")
        assert visited.overflow == 0
        box = page.locator("#ranking .scroll").first
        assert box.evaluate("each => each.scrollWidth > each.clientWidth")
        for each in page.locator("svg.plot").all():
            assert each.evaluate("each => each.getBoundingClientRect().right <= innerWidth")


def test_a_row_is_never_as_tall_as_a_picture(chromium: Any, page_path: Path) -> None:
    """A name or a sentence in a narrow column made rows of 120 pixels and more."""
    for size in (PHONE, (800, 900), (1440, 900)):
        with visit(chromium, page_path, size=size) as visited:
            page = visited.page
            page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
            assert visited.rows_above(110) == [], size
            assert visited.overflow == 0


def test_the_lines_between_rows_are_also_under_the_column_that_stays(
    chromium: Any, page_path: Path
) -> None:
    """Each cell has the line above it; shared lines would scroll away from under the column."""
    script = """() => [...document.querySelectorAll("main table")].flatMap((table) => [
      getComputedStyle(table).borderCollapse,
      ...[...table.tBodies].flatMap((body) => [...body.rows].map((row) => {
        const of = (cell) => getComputedStyle(cell).borderTopWidth;
        return new Set([...row.cells].map(of)).size === 1 ? of(row.cells[0]) : "unequal";
      })),
    ])"""
    with visit(chromium, page_path, size=PHONE) as visited:
        found = visited.page.evaluate(script)
        # Rows of a group, the first row under a heading, and the first row of another group.
        assert set(found) == {"separate", "1px", "0px", "3px"}


def test_tab_reaches_everything_in_the_order_of_the_page(chromium: Any, page_path: Path) -> None:
    with visit(chromium, page_path) as visited:
        page = visited.page
        expected = page.evaluate(
            """() => [...document.querySelectorAll(
              "a[href], button, input, select, summary, [tabindex='0']")]
              .filter((each) => each.checkVisibility()).map((each, place) => {
                each.dataset.place = place;
                return place;
              })"""
        )
        assert len(expected) > 50
        reached = []
        for _ in expected:
            page.keyboard.press("Tab")
            place, outline = page.evaluate(
                """() => [document.activeElement.dataset.place,
                  getComputedStyle(document.activeElement).outlineStyle]"""
            )
            reached.append(int(place))
            assert outline != "none", place
        assert reached == expected


def test_networks_that_were_not_measured_are_not_in_the_title_and_fail_once(
    chromium: Any, folder: Path
) -> None:
    run = run_of(
        FakeCell("faster-whisper"),
        *(FakeCell(f"gone-{number}", ending="unavailable") for number in range(8)),
        rounds=6,
    ).run
    replace = msgspec.structs.replace
    cells = [
        replace(cell, model=replace(cell.model, name="other")) if "gone-7" in cell.id else cell
        for cell in run.cells
    ]
    request = replace(run.manifest.request, backends_named=False)
    run = replace(run, cells=cells, manifest=replace(run.manifest, request=request))
    path = folder / "unavailable.html"
    path.write_text(render_report(run), encoding="utf-8")
    with visit(chromium, path) as visited:
        page = visited.page
        assert page.locator("h1").inner_text() == "Speed of tiny.en on speech"
        failures = page.locator("#failures")
        assert "8 cells unavailable" in failures.inner_text()
        assert "endings not as planned" not in failures.inner_text()
        assert failures.locator("tbody tr").count() == 8
        assert page.locator("#ranking table").count() == 1


def test_drawn_texts_stay_inside_their_drawing(chromium: Any, page_path: Path) -> None:
    for size in (DESK, PHONE):
        with visit(chromium, page_path, size=size) as visited:
            assert visited.texts_outside == [], size


def test_on_paper_everything_short_is_unfolded(chromium: Any, page_path: Path) -> None:
    with visit(chromium, page_path) as visited:
        page = visited.page
        page.emulate_media(media="print")
        assert page.locator("button.theme").is_hidden()
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        closed = "document.querySelectorAll('details:not([open]):not(.long)').length"
        assert page.evaluate(closed) == 0
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate(closed) > 0


@pytest.mark.parametrize(
    ("size", "dark", "name"),
    [(DESK, False, "desk-light"), (DESK, True, "desk-dark"), (PHONE, False, "phone-light")],
)
def test_pictures_are_taken(
    chromium: Any, page_path: Path, folder: Path, size: tuple[int, int], dark: bool, name: str
) -> None:
    with visit(chromium, page_path, size=size, dark=dark) as visited:
        picture = folder / f"{name}.png"
        # The whole of it takes long, and is only for those who look at it.
        whole = "SPEEDTEST_SCREENSHOTS" in os.environ
        visited.page.screenshot(path=str(picture), full_page=whole)
        assert picture.stat().st_size > 20_000
