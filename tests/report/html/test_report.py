"""The report of a run: everything is there, nothing is hidden, and no text can do anything."""

from __future__ import annotations

import itertools
import re

import msgspec
import pytest

from fakes.events import SPOKEN
from fakes.recordings import collection, cuts, recording
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.audio.recording import LeftOut
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.report.html import report as report_module
from mac_whisper_speedtest.report.html.page import Limits
from mac_whisper_speedtest.report.html.report import MOST_BYTES, render_report
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import speed_form
from parsed_html import Element, parse

HOSTILE = (
    "<script>alert(1)</script> \u202e gnp\u2066 \x00\x1b[31m ]]> --> </p> &amp; \" ' <img src=x>"
)


def table_of(document: Element, caption: str) -> Element:
    (found,) = [
        each for each in document.all("table") if each.one("caption").text.startswith(caption)
    ]
    return found


def rows_of(table: Element) -> list[list[str]]:
    found = []
    for body in table.all("tbody"):
        for row in body.all("tr"):
            fields = [each for each in row.children if isinstance(each, Element)]
            found.append([each.text for each in fields])
    return found


def section(document: Element, name: str) -> Element:
    return document.one("section", id=name)


@pytest.fixture(scope="module")
def run() -> s.Run:
    return run_of(
        FakeCell("quick", rtf=0.1, joules=50.0),
        FakeCell("as-quick", rtf=0.1, spread=0.05, joules=60.0),
        FakeCell("slow", rtf=0.2, text=SPOKEN.replace("worst", "wurst"), retaken=[1]),
        FakeCell(
            "nonsense", rtf=0.05, text="something else altogether that nobody has ever said here"
        ),
        FakeCell("broken", ending="crashed", message="it fell over", log="Traceback: the end"),
        FakeCell("absent", ending="unavailable", message="not installed"),
        FakeCell(
            Backend(name="other", fixed={"batch_size": 1}),
            rtf=0.3,
            settings={"beam_size": 5},
            remarks=["pads the last window"],
        ),
        flagged=[2],
        tool=s.ToolInfo(name="mac-whisper-speedtest", version="0.1.0", git_sha="c0ffee" * 6),
        request={"reference_backend": "quick"},
    ).run


@pytest.fixture(scope="module")
def document(run: s.Run) -> Element:
    return parse(render_report(run, label="12"))


def test_the_verdict_comes_first_and_in_words(document: Element) -> None:
    (verdict,) = document.all("section", aria_label="Verdict")
    said = verdict.text
    assert "are tied for rank 1" in said or "is the fastest" in said
    assert "slow 1.2.3 float32 takes 2." in said
    assert "times as long as" in said
    assert "SLOWER" in said
    assert "nonsense 1.2.3 float32 is fast but wrong and ranked separately: its WER is" in said
    assert "Not available on that machine: absent." in said
    assert "1 of 6 cells failed: broken (crashed)." in said
    assert document.text.index("cells failed") < document.text.index("Ranking")


def test_the_ranking_has_every_cell_whatever_became_of_it(document: Element, run: s.Run) -> None:
    table = table_of(section(document, "ranking"), "tiny.en on speech")
    names = [row[0].split()[0] for row in rows_of(table)]
    assert sorted(names) == sorted(each.backend.name for each in run.cells)
    status = {row[0].split()[0]: row[6] for row in rows_of(table)}
    assert status["broken"].startswith("crashed")
    assert status["absent"].startswith("unavailable")
    assert status["nonsense"].startswith("fast but wrong")


def test_cells_that_did_other_work_stand_in_a_body_of_their_own(document: Element) -> None:
    table = table_of(section(document, "ranking"), "tiny.en on speech")
    bodies = [
        {row.children[0].text.split()[0] for row in body.all("tr")}  # type: ignore[union-attr]
        for body in table.all("tbody")
    ]
    assert {"quick", "as-quick", "slow"} in bodies
    assert {"other"} in bodies
    assert {"nonsense"} in bodies


def test_figures_have_their_intervals_and_places_their_ties(document: Element, run: s.Run) -> None:
    rows = {
        row[0].split()[0]: row for row in rows_of(table_of(section(document, "ranking"), "tiny"))
    }
    summary = run.cells[0].summary
    assert summary is not None
    assert summary.rtfx_bounds is not None
    low, high = summary.rtfx_bounds.low, summary.rtfx_bounds.high
    form = speed_form(summary.rtfx)
    assert f"{summary.rtfx:{form}} {low:{form}}–{high:{form}}" in rows["quick"]
    assert rows["quick"][1] == "1–2"
    assert rows["slow"][1] == "3"


def test_sorting_goes_by_numbers_and_not_by_what_is_written(document: Element) -> None:
    table = table_of(section(document, "ranking"), "tiny.en on speech")
    for row in table.one("thead").all("tr") and table.all("tr")[1:]:
        speed = [each for each in row.children if isinstance(each, Element)][2]
        value = speed.attributes["data-value"]
        assert value == "" or float(value or "nan") > 0


def test_the_dot_plot_has_the_numbers_of_the_table(document: Element, run: s.Run) -> None:
    drawing = section(document, "ranking").all("svg")[0]
    for cell in run.cells:
        if cell.summary is not None and cell.summary.rtfx is not None:
            shown = f"{cell.summary.rtfx:{speed_form(cell.summary.rtfx)}}"
            assert shown in drawing.one("desc").text


def test_pareto_and_error_rates(document: Element) -> None:
    found = section(document, "accuracy")
    front = {row[0].split()[0]: row[-1] for row in rows_of(table_of(found, "Speed and WER"))}
    assert front["slow"] == "no"
    assert "yes" in {front["quick"], front["as-quick"]}
    assert front["nonsense"] == "fast but wrong"
    assert "Normalized by english" in found.text


def test_energy_is_shown_where_it_was_measured_and_its_absence_explained() -> None:
    measured = parse(
        render_report(run_of(FakeCell("a", joules=50.0), FakeCell("b", joules=70.0)).run)
    )
    assert "J per hour of audio" in section(measured, "energy").text
    not_measured = parse(render_report(run_of(FakeCell("a")).run))
    assert "not measured: no energy counter" in section(not_measured, "energy").text


def test_failures_say_where_and_why_with_their_log(document: Element) -> None:
    found = section(document, "failures")
    rows = rows_of(found.all("table")[0])
    assert ["broken", "rounds 1–6", "crashed", "load", "RuntimeError", "it fell over"] in rows
    assert not any(row[0] == "absent" for row in rows)
    assert "absent" in {row[0] for row in rows_of(found.all("table")[1])}  # once, not per round
    assert "Traceback: the end" in found.text


def test_the_contract_matrix_marks_what_is_not_as_asked_without_color(document: Element) -> None:
    found = section(document, "contract")
    rows = {row[0].split()[0]: row for row in rows_of(found.one("table"))}
    assert "≠ 5 (declared: 1)" in rows["other"]
    assert rows["requested"][0] == "requested (greedy)"
    assert "pads the last window" in found.text
    assert "Nothing was reported by: broken, absent." in found.text


def test_every_sample_is_drawn_and_listed_with_its_state(document: Element, run: s.Run) -> None:
    found = section(document, "all-samples")
    rows = rows_of(found.one("table", id="samples"))
    assert len(rows) == sum(len(cell.samples) for cell in run.cells)
    slow = [row for row in rows if row[0].startswith("slow") and row[1] == "2"]
    assert [row[4] for row in slow] == ["warm-up", "retaken", "counts", "counts"]
    assert "other programs took 40 %" in slow[1][-1]
    drawn = {
        svg.one("title", id=f"{svg.attributes['aria-labelledby']}".split()[0]).text
        for svg in found.all("svg", class_="plot")
    }
    assert "Samples of slow 1.2.3 float32" in drawn


def test_transcripts_show_what_was_replaced_by_elements_and_not_only_by_color(
    document: Element,
) -> None:
    found = section(document, "texts")
    (version,) = [each for each in found.all("div", class_="version") if "slow" in each.text]
    assert version.one("del").text == "worst"
    assert version.one("ins", class_="other-words").text == "wurst"
    assert "1 replaced of 18 words" in version.text
    alike = [
        each.text for each in found.all("div", class_="version") if "all 18 words" in each.text
    ]
    assert len(alike) == 1
    assert "quick 1.2.3 float32, as-quick 1.2.3 float32, other 1.2.3 float32" in alike[0]


def test_the_machine_the_marked_round_and_what_is_not_known_are_there(document: Element) -> None:
    found = section(document, "conditions")
    assert "1 of 6 rounds are flagged" in found.text
    assert "power: mains -> battery" in found.text
    assert "thermal pressure: Linux has no such level" in found.text


def test_how_to_measure_again_has_the_command_hashes_and_versions(
    document: Element, run: s.Run
) -> None:
    found = section(document, "reproduce")
    assert found.one("pre").text.startswith("speedtest run --model tiny.en --backend quick")
    head = run.manifest
    for wanted in (
        "ab" * 32,
        "a" * 64,
        "c0ffee" * 6,
        f"numpy {head.libraries['numpy']}",
        head.request_sha256,
        head.run_id,
    ):
        assert wanted in found.text


def test_the_method_names_margin_and_noise_floor() -> None:
    noise = s.NoiseInfo(
        floor=0.034, smallest_detectable=0.05, spread=0.01, ratio=1.0, verdict="SAME", rounds=12,
        rounds_for={}, backend="fake", model="tiny.en", measured_at="2026-11-01",
    )  # fmt: skip
    run = run_of(FakeCell("a"), FakeCell("b"), noise=noise).run
    page = parse(render_report(run))
    assert "This run could detect a difference of" in page.text
    said = section(page, "method").text
    assert "beyond 3.4%" in said
    assert "The noise floor is 3.4%: fake tiny.en against itself in 12 rounds" in said
    said = section(parse(render_report(run_of(FakeCell("a")).run)), "method").text
    assert "The noise floor of this machine is unknown" in said
    assert "docs/explanation/method.md" in said


def test_left_out_recordings_are_named_with_their_reasons() -> None:
    clip = collection(
        {"one": "some words", "two": "other words"},
        left_out=[LeftOut(name="three.wav", reason="is empty")],
        unscored=[LeftOut(name="two", reason="its text is in another script")],
    )
    found = section(
        parse(render_report(run_of(FakeCell("a", text="some words"), speech=clip).run)), "left-out"
    )
    assert ["three.wav", "is empty"] in rows_of(found.all("table")[0])
    assert ["two", "its text is in another script"] in rows_of(found.all("table")[1])


def test_a_run_of_several_lengths_has_its_curves() -> None:
    texts = {f"{each}s": "words" for each in (2, 5, 10, 20, 30)}
    run = run_of(
        FakeCell("a", rtf=0.1, fixed_s=0.5, text=texts),
        FakeCell("b", rtf=0.2, fixed_s=0.1, text=texts),
        speech=cuts(2, 5, 10, 20, 30),
        passes=1,
    ).run
    found = section(parse(render_report(run)), "scaling")
    assert (
        "Processing time by length of the audio"
        in found.one("svg", class_="plot").one("title", id="scaling-t0-title").text
    )
    assert "b 1.2.3 float32 is faster below" in found.text
    assert "scaling" not in {
        each.attributes.get("id")
        for each in parse(render_report(run_of(FakeCell("a")).run)).all("section")
    }


def test_without_a_reference_texts_are_compared_with_each_other() -> None:
    clip = recording(reference=None)
    run = run_of(
        FakeCell("a", text="one two three"), FakeCell("b", text="one two four"), speech=clip
    ).run
    document = parse(render_report(run))
    assert "the texts are compared with that of a 1.2.3 float32" in section(document, "texts").text
    assert "Error rates are unknown" in section(document, "accuracy").text


def test_of_a_set_the_worst_recordings_come_first_and_the_rest_is_counted() -> None:
    said = {f"r{number:02d}": f"number {number} was said here" for number in range(30)}
    wrote = {**said, "r17": "all of it is different now", "r05": "number 5 was sad here"}
    run = run_of(FakeCell("a", text=wrote), speech=collection(said), rounds=2, passes=1).run
    found = section(parse(render_report(run, limits=Limits(recordings=3))), "texts")
    assert [each.text.split()[0] for each in found.all("h4")] == ["r17", "r05", "r00"]
    assert "3 of 30 recordings, those with the most errors first" in found.text


def hostile_run() -> s.Run:
    clip = collection(
        {HOSTILE: HOSTILE, "two": "words"},
        name=HOSTILE,
        source=HOSTILE,
        left_out=[LeftOut(name=HOSTILE, reason=HOSTILE)],
    )
    return run_of(
        FakeCell(Backend(name=f"a{HOSTILE}"), text=HOSTILE, remarks=[HOSTILE]),
        FakeCell("b", text={HOSTILE: None, "two": HOSTILE}, settings={"window": HOSTILE}),
        FakeCell("c", ending="crashed", message=HOSTILE, log=HOSTILE),
        speech=clip,
        rounds=3,
        request={"reference_backend": HOSTILE},
        tags=[HOSTILE],
    ).run


def test_hostile_texts_stay_text_wherever_they_stand() -> None:
    text = render_report(hostile_run(), label=HOSTILE)
    document = parse(text)
    assert len(document.all("script")) == 1
    assert document.all("img") == []
    for each in document.walk():
        bad = {name for name in each.attributes if name.startswith("on") or name == "style"}
        assert bad == set()
        assert not (each.attributes.get("href") or "#").startswith(("javascript:", "http"))
    assert (
        re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]", text)
        == []
    )
    assert "⟨U+202E⟩" in document.text


def test_there_is_no_style_attribute_and_no_address_in_a_whole_report(run: s.Run) -> None:
    text = render_report(run)
    document = parse(text)
    for each in document.walk():
        assert "style" not in each.attributes
        assert each.name not in {"img", "iframe", "object", "embed", "base", "form"}
        assert (each.attributes.get("href") or "#")[0] in {"#", "d"}
    assert "url(" not in text
    assert "@import" not in text


def test_ids_are_unique_and_every_reference_to_one_leads_somewhere(document: Element) -> None:
    ids = [found for each in document.walk() if (found := each.attributes.get("id"))]
    assert len(ids) == len(set(ids))
    for each in document.walk():
        for name in ("aria-labelledby", "data-for"):
            assert set((each.attributes.get(name) or "").split()) <= set(ids)
        href = each.attributes.get("href")
        if href and href.startswith("#"):
            assert href[1:] in ids


def test_every_heading_follows_its_superior(document: Element) -> None:
    levels = [int(each.name[1]) for each in document.walk() if re.fullmatch("h[1-6]", each.name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_the_same_run_gives_the_same_bytes(run: s.Run) -> None:
    assert render_report(run) == render_report(run)


def test_a_run_of_thousands_of_samples_stays_small_and_says_what_is_left_out() -> None:
    said = {f"recording-{number:04d}": f"{SPOKEN} and number {number}" for number in range(250)}
    told = [
        FakeCell(
            f"backend-{number}",
            rtf=0.1 + number / 50,
            text={name: f"{number} {text}" for name, text in said.items()},
        )
        for number in range(4)
    ]
    run = run_of(*told, speech=collection(said), rounds=6, passes=1).run
    assert sum(len(cell.samples) for cell in run.cells) > 6000
    text = render_report(run)
    assert len(text.encode()) < MOST_BYTES < 1_500_000
    document = parse(text)
    found = section(document, "all-samples")
    assert "6024 samples are too many for one page" in found.text
    rows = rows_of(found.one("table", id="samples"))
    assert len(rows) == 4 * 6
    assert {row[2] for row in rows} == {"250"}
    assert "too many samples to draw one by one" in found.text
    assert "20 of 250 recordings" in section(document, "texts").text


def test_enormous_texts_and_messages_are_shortened_until_the_page_is_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = " ".join(map("".join, itertools.product("abcd", repeat=5)))
    other = " ".join(map("".join, itertools.product("wxyz", repeat=5)))
    told = [
        FakeCell("a", text=other),
        *(FakeCell(f"f{n}", ending="crashed", message=long * 50, log=long * 50) for n in range(6)),
    ]
    run = run_of(*told, speech=recording(reference=long), rounds=1).run
    generous = Limits(units=20_000, message=20_000)
    large = render_report(run, limits=generous)
    assert len(large.encode()) > 200_000
    monkeypatch.setattr(report_module, "MOST_BYTES", 150_000)
    small = render_report(run, limits=generous)
    assert len(small.encode()) < 150_000
    assert "characters more" in small
    assert "words at the end are omitted here" in render_report(run, limits=Limits(units=100))


def test_a_page_that_cannot_be_shortened_further_is_written_as_it_is(
    run: s.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "MOST_BYTES", 10)
    assert "this command repeats the run" in render_report(run)


@pytest.mark.parametrize("state", ["interrupted", "recovered", "stopped"])
def test_a_run_that_is_not_complete_says_so(state: str) -> None:
    found = section(parse(render_report(run_of(FakeCell("a"), state=state).run)), "failures")
    assert "The run is not complete" in found.text
    assert state in found.text


def test_a_run_without_any_figure_is_still_a_report() -> None:
    run = run_of(
        FakeCell("a", ending="crashed", message="no"), FakeCell("b", ending="unavailable")
    ).run
    document = parse(render_report(run))
    assert "No cell has a valid result." in document.text
    assert "There are no samples." in document.text


def test_a_run_that_was_not_summarized_is_refused(run: s.Run) -> None:
    cells = [msgspec.structs.replace(cell, summary=None) for cell in run.cells]
    with pytest.raises(ValueError, match="not summarized"):
        render_report(msgspec.structs.replace(run, cells=cells))
