"""Which node gets which job, and why a job waits."""

from __future__ import annotations

import pytest

from mac_whisper_speedtest.fleet import policy
from mac_whisper_speedtest.fleet.job import Job
from mac_whisper_speedtest.fleet.ledger import JobEntry, JobState, NodeEntry
from mac_whisper_speedtest.fleet.policy import FleetState

GIB = 1 << 30
MINI = {"known": {"node": "mini", "chip": "Apple M4", "memory": 16 * GIB, "os": "macos"}}
AIR = {"known": {"node": "air", "chip": "Apple M2", "memory": 8 * GIB, "os": "macos"}}


def entry(name: str, repetition: int = 0, campaign: str = "") -> JobEntry:
    return JobEntry(name, campaign, repetition, JobState.QUEUED, "")


def assigned(
    queued: list[JobEntry],
    able: dict[str, set[str]],
    refused: set[tuple[str, str]] | None = None,
    shares: dict[str, dict[str, int]] | None = None,
) -> list[tuple[str, str]]:
    nodes = set().union(*able.values())
    return policy.assign(queued, nodes, able.__getitem__, refused or set(), shares or {})


def test_a_node_gets_one_job_at_a_time() -> None:
    jobs = [entry("a"), entry("b"), entry("c")]
    found = assigned(jobs, {name: {"mini", "air"} for name in "abc"})

    assert found == [("a", "air"), ("b", "mini")]


def test_the_first_repetition_of_everything_comes_before_the_second() -> None:
    jobs = [entry("a0", 0), entry("a1", 1), entry("b0", 0)]
    found = assigned(jobs, {name: {"mini", "air"} for name in ("a0", "a1", "b0")})

    assert [job for job, _ in found] == ["a0", "b0"]


def test_a_job_that_few_nodes_can_have_is_not_kept_from_them() -> None:
    jobs = [entry("any"), entry("mini only")]
    found = assigned(jobs, {"any": {"air", "mini"}, "mini only": {"mini"}})

    assert sorted(found) == [("any", "air"), ("mini only", "mini")]


def test_a_campaign_is_spread_over_the_nodes() -> None:
    shares = {"w48": {"air": 2, "mini": 1}, "": {"mini": 9}}
    able = {"a": {"air", "mini", "studio"}}

    assert assigned([entry("a", campaign="w48")], able, shares=shares) == [("a", "studio")]
    del able["a"]
    able["b"] = {"air", "mini"}
    assert assigned([entry("b", campaign="w48")], able, shares=shares) == [("b", "mini")]


def test_a_node_that_refused_a_job_does_not_get_it_again() -> None:
    able = {"a": {"air", "mini"}, "b": {"air", "mini"}}

    assert assigned([entry("a")], {"a": {"air"}}, refused={("a", "air")}) == []
    found = assigned([entry("a"), entry("b")], able, refused={("a", "air")})
    assert sorted(found) == [("a", "mini"), ("b", "air")]


def fleet(
    *connected: str, resting: dict[str, float] | None = None, drained: bool = False
) -> FleetState:
    known = [
        NodeEntry("air", AIR, 9_000.0, drained=False),
        NodeEntry("mini", MINI, 2_800.0, drained),
    ]
    return FleetState(known, connected, resting or {}, now=10_000.0)


def test_a_job_without_a_node_says_which_label_is_missing_and_who_had_it() -> None:
    on = ("chip=~*M4*", "memory>=16G")

    assert policy.why_waiting(on, (), fleet("air", "mini")) == ""
    assert policy.why_waiting(on, (), fleet("air")) == (
        "waits for chip=~*M4*, memory>=16G: last seen 2 h ago on mini"
    )
    assert policy.why_waiting(("memory>=64G",), (), fleet("air", "mini")) == (
        "waits for memory>=64G: no such node was ever here; nearest: air has memory: 8 GiB; "
        "the job asks for memory>=64G"
    )


@pytest.mark.parametrize(
    ("state", "refused", "reason"),
    [
        (fleet("mini", drained=True), (), "mini is drained"),
        (fleet("mini", resting={"mini": 10_420.0}), (), "mini was not ready; again in 7 min"),
        (fleet("mini"), ("mini",), "mini refused it"),
    ],
)
def test_a_job_says_why_its_node_does_not_have_it(
    state: FleetState, refused: tuple[str, ...], reason: str
) -> None:
    assert policy.why_waiting(("node=mini",), refused, state) == f"waits for node=mini: {reason}"


def test_labels_that_are_none_leave_a_node_its_name() -> None:
    assert policy.labels_of("mini", {"known": 3}).known == {"node": "mini"}
    assert policy.labels_of("mini", {"known": {"node": "air"}}).known == {"node": "mini"}


def test_cells_are_counted_where_the_request_names_them() -> None:
    def cells(**request: object) -> int | None:
        return policy.planned_cells(Job(request=request, to="/x"))

    assert cells(models=["tiny.en", "small"], backends=["a", "b", "c"]) == 6
    assert cells(models=["tiny.en"], backends=["a"], durations=[2, 5]) == 2
    assert cells(models=["tiny.en"]) is None
