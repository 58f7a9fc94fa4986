"""Who is ranked against whom."""

from __future__ import annotations

from typing import Any

import msgspec

from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.summary.ranking import equal_work_groups, letter

CLIP = s.ClipInfo(name="speech", seconds=10.0, samples=160_000, pcm_sha256="", source="made here")
GREEDY = DecodeContract().settings()
INFO = run_of(FakeCell()).run.cells[0].model.info


def cell(name: str, *, model: str = "tiny.en", **changes: Any) -> s.CellResult:
    """A cell that ran under greedy, except for ``changes`` (settings, device, precision, ...)."""
    effective = GREEDY | {key: value for key, value in changes.items() if key in GREEDY}
    return s.CellResult(
        id=name,
        backend=s.BackendResult(
            name=name,
            version="1",
            versions={},
            device=changes.get("device", "cpu"),
            precision=changes.get("precision", "float32"),
            details={},
        ),
        model=s.ModelResult(name=model, info=INFO, weights=None),
        clip=CLIP,
        contract=s.ContractResult(
            requested=GREEDY,
            effective=effective,
            observed=[],
            deviations=[
                s.DeviationResult(setting=key, requested=GREEDY[key], effective=effective[key])
                for key in GREEDY
                if GREEDY[key] != effective[key]
            ],
            remarks=changes.get("remarks", []),
        ),
        status="ok",
        endings=[],
        loads=[],
        samples=[],
    )


def grouped(*cells: s.CellResult, strict: bool = False, **medians: float) -> dict[str, str]:
    seconds = {each.id: medians.get(each.id, 1.0) for each in cells}
    return equal_work_groups(cells, seconds, strict=strict)


def test_equal_effective_settings_are_one_group() -> None:
    assert grouped(cell("a"), cell("b", device="cuda", precision="float16")) == {"a": "A", "b": "A"}


def test_one_different_setting_is_another_group() -> None:
    assert grouped(cell("a"), cell("b", batch_size=8)) == {"a": "A", "b": "B"}


def test_a_setting_that_a_backend_cannot_tell_is_not_equal_to_one_that_is_known() -> None:
    assert grouped(cell("a"), cell("b", best_of=None)) == {"a": "A", "b": "B"}


def test_whoever_kept_the_contract_comes_first_however_slow() -> None:
    found = grouped(cell("a", vad=True), cell("b", batch_size=8), cell("c"), a=2.0, b=1.0, c=9.0)
    assert found == {"c": "A", "b": "B", "a": "C"}


def test_every_network_has_groups_of_its_own() -> None:
    found = grouped(cell("a"), cell("b", model="moonshine-tiny-en", vad=True))
    assert found == {"a": "A", "b": "A"}  # the first in each table, and never in the same one


def test_strict_also_separates_devices_precisions_and_remarks() -> None:
    cells = [
        cell("a"),
        cell("b", device="cuda"),
        cell("c", precision="float16"),
        cell("d", remarks=["pads audio"]),
        cell("e"),
    ]
    assert set(grouped(*cells).values()) == {"A"}
    strict = grouped(*cells, strict=True)
    assert strict["a"] == strict["e"]
    assert len(set(strict.values())) == 4


def test_a_cell_without_a_median_has_no_group() -> None:
    failed = msgspec.structs.replace(cell("b"), status="crashed")
    assert equal_work_groups([cell("a"), failed], {"a": 1.0}, strict=False) == {"a": "A"}


def test_letters_do_not_run_out() -> None:
    assert [letter(index) for index in (0, 25, 26, 27)] == ["A", "Z", "A1", "B1"]
