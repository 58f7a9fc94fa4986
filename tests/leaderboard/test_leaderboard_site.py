"""The leaderboard's site: the same bytes from the same bundles, whole or not there, and usable."""

from __future__ import annotations

import csv
import html
import io
import json
import random
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from browser import PHONE, visit
from fakes.parks import ANOTHER, ANOTHER_KIND, TWO, machine, submitted
from fakes.runs import FakeCell, FakeRun
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.leaderboard import build, site
from mac_whisper_speedtest.leaderboard.intake import Intake, Refusal
from mac_whisper_speedtest.results import schema as s

HOSTILE = "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script>\u202e"
REFUSED = (Refusal("bad.zip", "0" * 64, "its journal was changed"),)


def park() -> list[FakeRun]:
    """Five machines of one kind, of which one is slow, and two of another; most that can happen."""
    wrong = {"u1": "he sold all of his socks", "u2": "in a very dry desert"}
    usual = [*TWO, FakeCell("mlx-whisper", rtf=0.08), FakeCell("quick", rtf=0.01, text=wrong)]
    broken = [*usual, FakeCell("whisper.cpp", ending="failed", message="no such file")]
    return [
        machine(1, backends=usual),
        machine(2, backends=usual, times=1.02),
        machine(3, backends=broken, times=0.99),
        machine(4, backends=usual, times=1.5),
        machine(5, backends=[*usual, FakeCell("never", ending="failed", message="no")], times=1.01),
        machine(6, machine=ANOTHER),
        machine(7, machine=ANOTHER, times=1.1),
    ]


def files(runs: list[FakeRun], refused: tuple[Refusal, ...] = ()) -> dict[str, bytes]:
    known = submitted(*runs)
    return site.site_files(build.build_leaderboard(known), Intake(tuple(known), refused, 0))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of the whole park."""
    there = tmp_path_factory.mktemp("made") / "site"
    site.write_site(there, files(park(), REFUSED))
    return there


def test_the_site_is_the_same_whatever_the_order_of_its_bundles(made: Path) -> None:
    runs = park()
    random.Random(1).shuffle(runs)
    again = files(runs, REFUSED)
    assert {path.name: path.read_bytes() for path in made.iterdir()} == again


def test_the_page_asks_nobody_for_anything_and_names_no_clock(made: Path) -> None:
    page = (made / "index.html").read_text(encoding="utf-8")
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'" in html.unescape(page)
    assert set(re.findall(r"\d{4}-\d\d-\d\dT[\d:+]+", page)) == {"2026-11-20T10:00:00+00:00"}


def test_everything_is_in_the_page_without_a_script(made: Path) -> None:
    page = (made / "index.html").read_text(encoding="utf-8")
    assert page.count('class="board"') == 2
    assert "slower than its peers" in page
    assert "4 of 5" in page  # one of five runs of whisper.cpp failed
    assert "its journal was changed" in page
    assert "<noscript>" in page
    assert 'class="board" hidden' not in page


def test_the_downloads_have_every_row(made: Path) -> None:
    table = list(csv.DictReader(io.StringIO((made / "leaderboard.csv").read_text())))
    document = json.loads((made / "leaderboard.json").read_bytes())

    assert list(table[0]) == [column.name for column in site.COLUMNS]
    rows = [row for b in document["boards"] for group in b["groups"] for row in group["rows"]]
    assert [each["backend"] for each in table] == [row["configuration"]["backend"] for row in rows]
    fastest = next(each for each in table if each["hardware"] == ANOTHER_KIND)
    assert (fastest["backend"], fastest["rank"], fastest["rtfx_basis"]) == (
        "whisper.cpp",
        "1",
        "range",
    )
    assert float(fastest["rtfx"]) == pytest.approx(9.5, rel=0.02)
    assert {each["state"] for each in table} == {"ok", "fast but wrong", "failed"}
    assert [each["name"] for each in document["refused"]] == ["bad.zip"]
    off = [
        member["name"]
        for kind in document["machine_classes"]
        for member in kind["members"]
        if member["outlier"]["off"]
    ]
    assert off == [f"{4:032x}"]


def test_a_name_with_several_spaces_can_be_chosen() -> None:
    """Browsers take several spaces in an option for one; processors have such names."""
    page = files([machine(1), machine(2, machine={"cpu": "CPU  X   3 GHz"})])["index.html"].decode()
    (option,) = re.findall(r"<option>([^<]*CPU X 3 GHz[^<]*)</option>", page)
    assert f'data-hardware="{option}"' in page


def hostile() -> FakeRun:
    """A run in which whatever can be written by anybody is hostile."""
    run = machine(
        1,
        backends=[
            FakeCell(HOSTILE, text={"u1": HOSTILE}),
            FakeCell("b", ending="failed", message=HOSTILE),
        ],
    )
    manifest = msgspec.structs.replace(
        run.manifest,
        started_at=HOSTILE,
        run_id=HOSTILE,
        machine=msgspec.structs.replace(run.manifest.machine, cpu=HOSTILE, os_version=HOSTILE),
    )
    events = [
        msgspec.structs.replace(each, version=f"=1+1{HOSTILE}", device=HOSTILE)
        if isinstance(each, s.Loaded)
        else each
        for each in run.events
    ]
    return FakeRun(manifest, events)


def test_nothing_hostile_gets_out_of_its_place() -> None:
    found = files([hostile()], (Refusal(HOSTILE, "", HOSTILE),))

    page = found["index.html"].decode()
    assert "<img" not in page
    assert "alert(2)</script>" not in page
    assert "\u202e" not in page
    assert page.count("<script>") == 2  # the page's own
    table = list(csv.reader(io.StringIO(found["leaderboard.csv"].decode())))
    assert table[1][table[0].index("backend_version")].startswith("'=1+1")
    assert json.loads(found["leaderboard.json"])["refused"][0]["name"] == HOSTILE


def test_an_older_leaderboard_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "site"
    site.write_site(target, files([machine(1)]))
    (target / "leaderboard.csv").unlink()  # whatever became of it

    site.write_site(target, files([machine(2)]))

    assert {path.name: path.read_bytes() for path in target.iterdir()} == files([machine(2)])
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    site.write_site(tmp_path / "site", files([machine(1)]))
    assert (tmp_path / "site" / "index.html").is_file()


@pytest.mark.parametrize("name", ["index.html", "CNAME", ".git"])
def test_what_somebody_else_made_is_left_alone(tmp_path: Path, name: str) -> None:
    target = tmp_path / "site"
    target.mkdir()
    (target / name).write_text("mine")
    with pytest.raises(UsageError, match="contains something other"):
        site.write_site(target, files([machine(1)]))
    assert (target / name).read_text() == "mine"


def test_what_was_put_beside_a_leaderboard_is_not_lost(tmp_path: Path) -> None:
    target = tmp_path / "site"
    site.write_site(target, files([machine(1)]))
    (target / "CNAME").write_text("example.org")
    with pytest.raises(UsageError, match="CNAME"):
        site.write_site(target, files([machine(2)]))
    assert (target / "CNAME").read_text() == "example.org"


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("mine")
    with pytest.raises(UsageError, match="not a folder"):
        site.check_target(tmp_path / "site")


def test_when_writing_fails_the_old_site_is_still_there(tmp_path: Path) -> None:
    target = tmp_path / "site"
    old = files([machine(1)])
    site.write_site(target, old)
    with pytest.raises(StorageError, match="cannot write"):
        site.write_site(target, {**old, "no such folder/x": b""})
    assert {path.name: path.read_bytes() for path in target.iterdir()} == old
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_when_the_last_step_fails_the_old_site_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "site"
    old = files([machine(1)])
    site.write_site(target, old)

    def no_chmod(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "chmod", no_chmod)
    with pytest.raises(StorageError, match="No space left"):
        site.write_site(target, files([machine(2)]))
    assert {path.name: path.read_bytes() for path in target.iterdir()} == old
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


# ---- in a browser


def shown(page: Any) -> list[str]:
    """The backends of all rows that can be seen, from top to bottom."""
    found: list[str] = page.eval_on_selector_all(
        ".board tbody tr",
        "rows => rows.filter(r => r.checkVisibility()).map(r => r.cells[0].textContent)",
    )
    return found


def test_rows_are_filtered_and_boards_without_any_go(chromium: Any, made: Path) -> None:
    with visit(chromium, made / "index.html") as seen:
        page = seen.page
        everything = shown(page)
        page.get_by_label("hardware").select_option(index=1)
        assert 0 < len(shown(page)) < len(everything)
        assert page.locator(".board:visible").count() == 1
        page.get_by_label("hardware").select_option(index=0)
        page.get_by_label("state").select_option("ok")
        assert not any(name.startswith(("quick", "never")) for name in shown(page))
        page.get_by_role("searchbox").fill("whisper.cpp")
        assert {name.split()[0] for name in shown(page)} == {"whisper.cpp"}
        page.get_by_role("searchbox").fill("nobody has this")
        assert shown(page) == []
        assert page.locator("#nothing").is_visible()
        assert seen.complaints == []


def test_the_state_stands_in_the_address_and_is_restored_from_it(
    chromium: Any, made: Path, tmp_path: Path
) -> None:
    with visit(chromium, made / "index.html") as seen:
        page = seen.page
        page.get_by_role("searchbox").fill("whisper")
        page.get_by_label("state").select_option("ok")
        page.locator("#board-0 thead button", has_text="RTFx").click()
        page.locator("#board-0 thead button", has_text="RTFx").click()
        address, rows = page.url, shown(page)
        assert "state=ok" in address
        assert "q=whisper" in address

        page.goto("about:blank")
        page.goto(address)
        assert shown(page) == rows
        heading = page.locator("#board-0 th[aria-sort]")
        assert heading.get_attribute("aria-sort") == "descending"
        page.goto(address.partition("#")[0] + "#q=mlx")
        assert {name.split()[0] for name in shown(page)} == {"mlx-whisper"}
        assert page.locator("#board-0 th[aria-sort]").count() == 0
        assert seen.console == []


def test_it_is_sorted_by_keyboard(chromium: Any, made: Path) -> None:
    with visit(chromium, made / "index.html") as seen:
        page = seen.page
        before = page.locator("#board-0 tbody").first.locator("tr th").all_inner_texts()
        page.locator("#board-0 thead button", has_text="RTFx").focus()
        page.keyboard.press("Enter")
        after = page.locator("#board-0 tbody").first.locator("tr th").all_inner_texts()
        assert after == before[::-1]
        assert seen.complaints == []


def test_a_hostile_bundle_runs_nothing(chromium: Any, tmp_path: Path) -> None:
    site.write_site(tmp_path / "site", files([hostile()], (Refusal(HOSTILE, "", HOSTILE),)))
    with visit(chromium, tmp_path / "site" / "index.html") as seen:
        assert seen.page.locator("img").count() == 0
        assert seen.complaints == []


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_readable_on_a_phone(chromium: Any, made: Path, dark: bool) -> None:
    with visit(chromium, made / "index.html", size=PHONE, dark=dark) as seen:
        assert seen.overflow == 0
        assert seen.texts_outside == []
        assert seen.rows_above(110) == []
        assert seen.complaints == []
