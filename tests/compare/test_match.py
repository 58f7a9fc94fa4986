"""Which cells of two runs belong together."""

from __future__ import annotations

import msgspec

from fakes.runs import FakeCell, run_of_set
from mac_whisper_speedtest.compare import match
from mac_whisper_speedtest.results import schema as s


def of(*names: str, pcm: str = "") -> list[s.CellResult]:
    found = run_of_set(*[FakeCell(name) for name in names]).run.cells
    if not pcm:
        return found
    return [
        msgspec.structs.replace(
            each, clip=msgspec.structs.replace(each.clip, pcm_sha256=pcm, name="other")
        )
        for each in found
    ]


def names(matched: match.Matched) -> list[tuple[str, str]]:
    return [(base.backend.name, new.backend.name) for base, new in matched.pairs]


def test_backends_are_matched_by_name_in_the_order_of_the_new_run() -> None:
    found = match.match(of("a", "b", "gone"), of("b", "added", "a"))
    assert names(found) == [("b", "b"), ("a", "a")]
    assert [each.backend.name for each in found.only_base] == ["gone"]
    assert [each.backend.name for each in found.only_new] == ["added"]


def test_a_release_is_compared_with_the_one_before() -> None:
    assert names(match.match(of("a@1.1"), of("a@1.2"))) == [("a@1.1", "a@1.2")]


def test_equal_versions_go_together_where_there_are_several() -> None:
    found = match.match(of("a@1.1", "a@1.2"), of("a@1.2", "a@1.3"))
    assert names(found) == [("a@1.2", "a@1.2"), ("a@1.1", "a@1.3")]


def test_of_two_versions_nobody_knows_which_one_is_meant() -> None:
    found = match.match(of("a@1.1", "a@1.2"), of("a@1.3"))
    assert names(found) == []
    assert len(found.only_base) == 2


def test_an_integer_cell_is_not_compared_with_a_float_cell() -> None:
    assert names(match.match(of("a:int8"), of("a"))) == []


def test_other_speech_is_matched_on_request_only() -> None:
    base, new = of("a"), of("a", pcm="e" * 64)
    assert names(match.match(base, new)) == []
    assert names(match.match(base, new, any_speech=True)) == [("a", "a")]


def test_identical_cells_of_a_noise_run_are_matched_in_order() -> None:
    twice = of("a", "b")
    second = msgspec.structs.replace(twice[0], id="a#2")
    found = match.match([twice[0], second], [twice[0], second])
    assert [new.id for _, new in found.pairs] == [twice[0].id, "a#2"]
