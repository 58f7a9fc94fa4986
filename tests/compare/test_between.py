"""Two runs of the same world, and what a known change between them is called."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest

from fakes.events import SAID
from fakes.recordings import recording
from fakes.runs import STEADY, FakeCell, FakeRun, run_of, run_of_set, source
from fakes.worlds import WORLDS, World, rounds_of
from mac_whisper_speedtest.audio.builtin import builtin_clips
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.compare import compare, fail_on
from mac_whisper_speedtest.compare import document as d
from mac_whisper_speedtest.compare.sources import RunSource
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.report import comparison
from mac_whisper_speedtest.report.console import TextConsole
from mac_whisper_speedtest.request import settings_of
from mac_whisper_speedtest.results import schema as s

WRONG = dict.fromkeys(SAID, "something else entirely was written down here by it")
KINDS = list(fail_on.KINDS)
NOISE = {
    "smallest_detectable": 0.03,
    "spread": 0.02,
    "ratio": 1.0,
    "verdict": "SAME",
    "rounds": 20,
    "rounds_for": {},
    "backend": "a",
    "model": "tiny.en",
    "measured_at": "2026-11-20T10:00:00+00:00",
}


def compared(
    base: FakeCell, new: FakeCell, *, margin: float | None = None, **new_run: Any
) -> d.Compared:
    first = source(run_of_set(base, number=1))
    second = source(run_of_set(new, number=2, **new_run))
    return compare.compare(first, second, margin=margin)


def cell(found: d.Compared) -> d.CellChange:
    (only,) = found.cells
    return only


def speed(found: d.Compared) -> d.SpeedChange:
    changed = cell(found).speed
    assert changed is not None
    return changed


def quantity(found: d.Compared, name: str) -> d.QuantityChange:
    (only,) = [each for each in cell(found).quantities if each.name == name]
    return only


def failed_on(found: d.Compared) -> list[str]:
    return [each.kind for each in fail_on.judged(found, KINDS).regressions]


def slower(by: float, backend: str = "a") -> FakeCell:
    return FakeCell(backend, rtf=[each * by for each in STEADY])


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_the_same_world_twice_is_no_regression(world: World) -> None:
    """What a single comparison may say; how often it errs is counted below."""
    base, new = (FakeCell(rtf=rounds_of(world, seed=seed)) for seed in (1, 2))
    found = compared(base, new)
    assert speed(found).verdict in {"SAME", "AMBIGUOUS"}
    assert failed_on(found) == []


def test_identical_cells_are_rarely_told_apart() -> None:
    """Two samples without pairs at 95 %, and a margin on top: far below one in twenty."""
    world = next(each for each in WORLDS if each.name == "two levels")
    wrong = 0
    for seed in range(60):
        base, new = (FakeCell(rtf=rounds_of(world, seed=2 * seed + side)) for side in (0, 1))
        wrong += speed(compared(base, new)).verdict in {"FASTER", "SLOWER"}
    assert wrong <= 3


def test_10_percent_slower_is_slower() -> None:
    world = next(each for each in WORLDS if each.name == "two levels")
    base = FakeCell(rtf=rounds_of(world, seed=1, rounds=12))
    found = compared(base, FakeCell(rtf=rounds_of(world, 1.10, seed=2, rounds=12)))
    assert speed(found).verdict == "SLOWER"
    ratio = speed(found).ratio
    assert ratio is not None
    assert 1.02 < ratio.low < 1.10 < ratio.high
    assert failed_on(found) == ["slower"]


def test_10_percent_quicker_is_faster_and_fails_nothing() -> None:
    found = compared(slower(1.10), slower(1.0))
    assert speed(found).verdict == "FASTER"
    assert failed_on(found) == []


def test_the_margin_decides_what_counts() -> None:
    assert speed(compared(slower(1.0), slower(1.05))).verdict == "SLOWER"
    lenient = compared(slower(1.0), slower(1.05), margin=0.10)
    assert speed(lenient).verdict == "SAME"
    assert (lenient.margin, lenient.margin_from) == (0.10, "--margin")


def test_the_larger_noise_floor_of_the_two_runs_is_the_margin() -> None:
    noise = msgspec.convert({"floor": 0.08, **NOISE}, s.NoiseInfo)
    found = compared(slower(1.0), slower(1.05), noise=noise)
    assert found.margin == 0.08
    assert "noise floor of the new run" in found.margin_from
    assert speed(found).verdict == "SAME"


def test_two_rounds_are_ambiguous_and_say_why() -> None:
    found = compared(FakeCell(rtf=[0.1, 0.1]), FakeCell(rtf=[0.2, 0.2]))
    assert speed(found).verdict == "AMBIGUOUS"
    assert speed(found).ratio is None
    assert "3 rounds" in speed(found).why
    assert failed_on(found) == []


def test_intervals_of_several_cells_hold_together() -> None:
    one = speed(compared(slower(1.0), slower(1.05))).ratio
    names = "abcdef"
    first = source(run_of_set(*[slower(1.0, name) for name in names]))
    second = source(run_of_set(*[slower(1.05, name) for name in names], number=2))
    all_of = compare.compare(first, second)
    assert one is not None
    for each in all_of.cells:
        assert each.speed is not None
        assert each.speed.ratio is not None
        assert each.speed.ratio.level == pytest.approx(1 - 0.05 / 6)
        assert each.speed.ratio.high - each.speed.ratio.low > one.high - one.low


def test_wrong_texts_are_worse_and_others_than_before() -> None:
    found = compared(FakeCell(), FakeCell(text=WRONG))
    right = cell(found).accuracy
    assert right is not None
    assert right.verdict == "worse"
    assert (right.base_rate, right.delta) == (0.0, right.new_rate)
    assert "its speed is no gain" in speed(found).why
    texts = cell(found).texts
    assert texts is not None
    assert (texts.same, texts.recordings) == (0, 2)
    assert texts.changed is not None
    assert texts.changed > 0.5
    assert failed_on(found) == ["wrong", "changed"]


def three_mistakes() -> d.Compared:
    """0 % and 8.3 % of the default clip."""
    reference = builtin_clips().clips["short"].reference.strip()
    wrong = reference.replace("best", "rest").replace("wisdom", "freedom").replace("epoch", "e", 1)
    first, second = (
        source(run_of(FakeCell(text=text), number=number, speech=recording(reference=reference)))
        for number, text in ((1, reference), (2, wrong))
    )
    return compare.compare(first, second)


def test_too_little_speech_to_tell_is_not_passed_over_in_silence() -> None:
    found = fail_on.judged(three_mistakes(), ["wrong"])
    (each,) = found.cells
    assert each.accuracy is not None
    assert (each.accuracy.base_rate, each.accuracy.verdict) == (0.0, "unclear")
    assert each.accuracy.new_rate == pytest.approx(3 / 36)
    assert found.regressions == []
    (undecided,) = found.undecided
    assert undecided.kind == "wrong"
    assert undecided.message.startswith(
        "too little speech to decide: its WER rose by 8.3 points from 0.0% to 8.3%"
    )
    assert "use --fail-on changed or --fail-on unclear, or measure more speech" in undecided.message


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("changed", "its text differs in 1 of 1 recordings; 8.3% of the words changed"),
        ("unclear", "too little speech to decide: its WER rose by 8.3 points from 0.0% to 8.3%; "),
    ],
)
def test_any_text_that_differs_and_any_doubt_can_fail_a_build(kind: str, message: str) -> None:
    found = fail_on.judged(three_mistakes(), [kind])
    (regression,) = found.regressions
    assert (regression.kind, found.undecided) == (kind, [])
    assert regression.message.startswith(message)


def test_equal_texts_fail_nothing_however_little_was_spoken() -> None:
    few = recording(reference="two words")
    first, second = (
        source(run_of(FakeCell(text="others"), number=number, speech=few)) for number in (1, 2)
    )
    found = fail_on.judged(compare.compare(first, second), ["wrong", "changed", "unclear"])
    (each,) = found.cells
    assert each.accuracy is not None
    assert each.accuracy.verdict == "unclear"
    assert (found.regressions, found.undecided) == ([], [])


def test_a_speed_and_a_meter_that_cannot_be_judged_are_undecided() -> None:
    found = compared(FakeCell(rtf=[0.1, 0.1]), FakeCell(rtf=[0.2, 0.2]))
    undecided = fail_on.judged(found, ["slower", "memory", "energy"]).undecided
    assert [(each.kind, each.message.partition(":")[0]) for each in undecided] == [
        ("slower", "its speed is AMBIGUOUS (a comparison needs 3 rounds on each side)"),
        ("energy", "energy not measured"),
    ]


def test_equal_texts_are_as_good_and_the_same() -> None:
    found = cell(compared(FakeCell(), FakeCell()))
    assert found.accuracy is not None
    assert found.accuracy.verdict == "as good"
    assert found.texts is not None
    assert (found.texts.same, found.texts.changed) == (2, 0.0)


def test_texts_that_nobody_wrote_down_are_still_compared() -> None:
    def unknown(number: int, said: dict[str, str]) -> RunSource:
        made = run_of_set(FakeCell("a", text=said), number=number)
        clip = made.manifest.clips[0]
        silent = [msgspec.structs.replace(each, reference=None) for each in clip.utterances]
        clip = msgspec.structs.replace(clip, utterances=silent)
        manifest = msgspec.structs.replace(made.manifest, clips=[clip])
        return source(FakeRun(manifest, made.events))

    found = compare.compare(unknown(1, {}), unknown(2, {"u2": "by the sea floor"}))
    right, texts = cell(found).accuracy, cell(found).texts
    assert right is not None
    assert right.verdict == ""
    assert "there is no reference text" in right.how
    assert texts is not None
    assert texts.same == 1
    assert texts.changed == pytest.approx(1 / 8)
    assert failed_on(found) == ["changed", "unclear"]
    (undecided,) = fail_on.judged(found, ["wrong"]).undecided
    assert "there is no reference text: use --fail-on changed" in undecided.message


def test_twice_the_memory_is_more_memory() -> None:
    found = compared(FakeCell(), FakeCell(peak_bytes=600_000_000))
    memory = quantity(found, "peak RSS")
    assert memory.verdict == "MORE"
    assert memory.ratio is not None
    assert memory.ratio.estimate == pytest.approx(2)
    assert failed_on(found) == ["memory"]


def test_one_round_on_either_side_is_enough_for_memory() -> None:
    found = compared(FakeCell(rtf=[0.1]), FakeCell(rtf=[0.1], peak_bytes=600_000_000))
    assert quantity(found, "peak RSS").verdict == "MORE"


def test_5_percent_more_memory_is_the_same() -> None:
    assert (
        quantity(compared(FakeCell(), FakeCell(peak_bytes=315_000_000)), "peak RSS").verdict
        == "SAME"
    )


MAC = {"os": "Darwin", "os_version": "15.5"}


def on_mac(number: int, **sample: Any) -> RunSource:
    return source(run_of_set(FakeCell(sample=sample), number=number, machine=MAC))


def test_on_macos_the_footprint_is_compared_and_shown() -> None:
    runs = [on_mac(1, peak_footprint_bytes=5 * 10**9), on_mac(2, peak_footprint_bytes=9 * 10**9)]
    found = compare.compare(*runs)
    assert quantity(found, "peak footprint").verdict == "MORE"
    assert not [each for each in cell(found).quantities if each.name == "peak RSS"]
    text = io.StringIO()
    comparison.show_comparison(found, console=TextConsole(file=text, width=200))
    assert "5000 → 9000 MORE" in text.getvalue()
    assert "Peak MB is the peak footprint (with Metal's memory) of a process." in text.getvalue()


def test_a_footprint_is_not_compared_with_anything_else() -> None:
    without = compare.compare(on_mac(1), on_mac(2, peak_footprint_bytes=9 * 10**9))
    memory = quantity(without, "peak footprint")
    assert (memory.base, memory.new, memory.verdict) == (None, 9 * 10**9, "")
    assert memory.reason.startswith(
        "not measured: base: the system does not report it, or an older"
    )
    linux = source(run_of_set(FakeCell(), number=1))
    other = on_mac(2, peak_footprint_bytes=1)
    memory = quantity(compare.compare(linux, other, anyway=True), "peak footprint")
    assert memory.reason == "not measured: base has its peak RSS, new its peak footprint"


def test_allocators_are_compared_where_both_runs_have_the_same() -> None:
    held = [{"mlx_peak_bytes": 100}, {"mlx_peak_bytes": 300}]
    found = compared(*(FakeCell(sample={"allocator_bytes": each}) for each in held))
    assert quantity(found, "allocator peak").verdict == "MORE"
    found = compared(FakeCell(), FakeCell(sample={"allocator_bytes": held[0]}))
    assert quantity(found, "allocator peak").reason == "not measured: base: no allocator reports it"


def test_more_joules_are_more_energy() -> None:
    found = compared(FakeCell(joules=2.0), FakeCell(joules=3.0))
    energy = quantity(found, "energy")
    assert energy.base == pytest.approx(7200)
    assert energy.verdict == "MORE"
    assert failed_on(found) == ["energy"]


@pytest.mark.parametrize(
    ("base", "new", "reason"),
    [
        (None, None, "not measured: no energy counter"),
        (2.0, None, "not measured: new: no energy counter"),
        (None, 2.0, "not measured: base: no energy counter"),
    ],
)
def test_energy_that_one_side_did_not_measure_has_a_reason_in_place_of_a_verdict(
    base: float | None, new: float | None, reason: str
) -> None:
    energy = quantity(compared(FakeCell(joules=base), FakeCell(joules=new)), "energy")
    assert (energy.verdict, energy.ratio, energy.reason) == ("", None, reason)


def test_a_machine_that_became_slower_takes_the_blame() -> None:
    first = source(run_of_set(slower(1.0), canary_s=[0.0250, 0.0251, 0.0249, 0.0250] * 2))
    second = source(
        run_of_set(slower(1.10), number=2, canary_s=[0.0275, 0.0276, 0.0274, 0.0275] * 2)
    )
    found = compare.compare(first, second)
    assert found.machine is not None
    assert found.machine.estimate == pytest.approx(1.1, rel=0.01)
    assert speed(found).verdict == "AMBIGUOUS"
    assert "the machine itself was slower" in speed(found).why
    assert failed_on(found) == []


def test_a_machine_that_became_a_little_slower_does_not_explain_twice_the_time() -> None:
    first = source(run_of_set(slower(1.0), canary_s=[0.0250, 0.0251, 0.0249] * 3))
    second = source(run_of_set(slower(2.0), number=2, canary_s=[0.0275, 0.0276, 0.0274] * 3))
    assert speed(compare.compare(first, second)).verdict == "SLOWER"


def test_versions_of_both_sides_are_said() -> None:
    first = source(run_of_set(FakeCell("a@1.1", version="1.1")))
    second = source(run_of_set(FakeCell("a@1.2", version="1.2"), number=2))
    found = cell(compare.compare(first, second))
    assert found.base is not None
    assert found.new is not None
    assert (found.backend, found.base.backend, found.new.backend) == ("a", "a@1.1", "a@1.2")
    assert [(each.name, each.base, each.new) for each in found.changes] == [
        ("version", "1.1", "1.2")
    ]


def test_work_that_was_done_otherwise_is_said() -> None:
    found = cell(compared(FakeCell(), FakeCell(settings={"beam_size": 5})))
    assert [(each.name, each.base, each.new) for each in found.changes] == [
        ("setting beam_size", "1", "5")
    ]
    assert found.speed is not None
    assert found.speed.why == "the two runs did different work (beam_size)"


def test_a_cell_that_fails_now_fails_the_comparison() -> None:
    found = compared(FakeCell(), FakeCell(ending="failed", message="no such file"))
    assert cell(found).state == d.FAILED
    assert cell(found).message == "failed: no such file"
    assert cell(found).speed is None
    assert failed_on(found) == ["failed"]
    assert fail_on.judged(found, ["memory"]).regressions == []


def test_a_cell_that_failed_before_is_fixed() -> None:
    found = compared(FakeCell(ending="failed", message="no such file"), FakeCell())
    assert cell(found).state == d.FIXED
    assert failed_on(found) == []


def test_a_cell_that_is_gone_fails_the_comparison_and_one_more_does_not() -> None:
    first = source(run_of_set(FakeCell("a"), FakeCell("b")))
    second = source(run_of_set(FakeCell("a"), FakeCell("c"), number=2))
    found = fail_on.judged(compare.compare(first, second), ["slower"])
    assert {each.backend: each.state for each in found.cells} == {
        "a": d.COMPARED,
        "b": d.MISSING,
        "c": d.ADDED,
    }
    assert [(each.cell, each.kind) for each in found.regressions] == [
        ("b tiny.en on speech", "failed")
    ]


@pytest.mark.parametrize("named", [False, True])
def test_what_is_not_installed_for_either_run_is_left_out_unless_it_was_asked_for(
    named: bool,
) -> None:
    def run(number: int, *cells: FakeCell) -> RunSource:
        cells = (FakeCell("a"), *cells)
        return source(run_of_set(*cells, number=number, request={"backends_named": named}))

    absent = [FakeCell(name, ending="unavailable", message="not installed") for name in "bc"]
    found = compare.compare(run(1, *absent), run(2, absent[0], FakeCell("c")))
    states = {each.backend: each.state for each in found.cells}
    said = "Left out, because neither run had them installed: b."
    if named:
        assert states == {"a": d.COMPARED, "b": d.FAILED_IN_BOTH, "c": d.FIXED}
        assert said not in found.findings
    else:
        assert states == {"a": d.COMPARED, "c": d.FIXED}
        assert said in found.findings


def test_a_cell_whose_counterpart_is_not_clear_is_neither_compared_nor_missing() -> None:
    first = source(run_of_set(FakeCell("x"), FakeCell("a@1"), FakeCell("a@2")))
    second = source(run_of_set(FakeCell("x"), FakeCell("a@3"), number=2))
    found = fail_on.judged(compare.compare(first, second), KINDS)
    assert [each.state for each in found.cells] == [d.COMPARED, *[d.UNMATCHED] * 3]
    assert "a@3" in found.cells[1].message
    assert found.regressions == []


def test_runs_that_do_not_compare_are_refused_with_every_difference() -> None:
    first = run_of_set(FakeCell("a"))
    beam = {"contract": settings_of(DecodeContract(beam_size=5))}
    second = source(run_of_set(FakeCell("a"), number=2, request=beam, machine={"cpu": "Another"}))
    with pytest.raises(UsageError) as caught:
        compare.compare(source(first), second)
    assert "beam_size 1 and 5" in caught.value.message
    assert "the hardware differs" in caught.value.message
    assert "--anyway" in caught.value.hint
    found = compare.compare(source(first), second, anyway=True)
    assert len(found.differences) == 2
    assert cell(found).speed is not None


def test_texts_of_other_speech_are_not_compared_anyway() -> None:
    first = run_of_set(FakeCell("a"))
    clip = msgspec.structs.replace(first.manifest.clips[0], pcm_sha256="e" * 64)
    second = source(run_of_set(FakeCell("a"), number=2, clips=[clip]))
    found = cell(compare.compare(source(first), second, anyway=True))
    assert found.speed is not None
    assert (found.accuracy, found.texts) == (None, None)


def test_runs_without_a_common_cell_are_refused() -> None:
    first, second = source(run_of_set(FakeCell("a"))), source(run_of_set(FakeCell("b"), number=2))
    with pytest.raises(UsageError, match=r"no backend and model in common: a tiny.en and b tiny"):
        compare.compare(first, second)


def test_conditions_stand_side_by_side_and_say_where_they_differ() -> None:
    first = source(
        run_of_set(
            FakeCell("a"),
            canary_s=[0.02] * 3,
            values={"power_source": "mains", "cpu_mhz": 3000.0, "load_average_1m": 1.0},
        )
    )
    second = source(
        run_of_set(
            FakeCell("a"),
            number=2,
            canary_s=[0.02] * 3,
            values={"power_source": "battery", "cpu_mhz": 1500.0, "load_average_1m": 1.0},
        )
    )
    found = {each.name: each for each in compare.compare(first, second).conditions}
    power = found["power_source"]
    assert (power.base, power.new, power.differs) == ("mains", "battery", True)
    assert (found["cpu_mhz"].unit, found["cpu_mhz"].differs) == ("MHz", True)
    assert found["load_average_1m"].differs is False
    assert found["canary_s"].base == "0.02"


def test_other_threads_and_another_system_are_named() -> None:
    first = run_of_set(FakeCell("a"))
    other: dict[str, Any] = {"request": {"threads": 8}, "machine": {"os_version": "7.0"}}
    second = source(run_of_set(FakeCell("a"), number=2, **other))
    found = compare.compare(source(first), second)
    assert [(each.name, each.base, each.new) for each in found.facts] == [
        ("system", "Linux 6.1", "Linux 7.0"),
        ("threads", "4", "8"),
    ]


@pytest.mark.parametrize(
    ("texts", "kinds"),
    [
        (["slower", "wrong"], ["slower", "wrong"]),
        (["wrong,slower"], ["slower", "wrong"]),
        (["Energy, memory"], ["memory", "energy"]),
        ([], []),
    ],
)
def test_fail_on_is_repeated_or_parted_by_commas(texts: list[str], kinds: list[str]) -> None:
    assert fail_on.kinds(texts) == kinds


def test_fail_on_refuses_what_it_does_not_know() -> None:
    with pytest.raises(UsageError, match="faster") as caught:
        fail_on.kinds(["slower,faster"])
    assert "slower, wrong, changed, unclear, memory, energy" in caught.value.hint
