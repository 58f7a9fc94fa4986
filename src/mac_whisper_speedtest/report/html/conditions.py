"""The machine before and after each round, and what the canary said."""

from __future__ import annotations

from collections.abc import Iterator

from mac_whisper_speedtest.report.html import tables
from mac_whisper_speedtest.report.html.cells import Limits
from mac_whisper_speedtest.report.html.curves import Curve, curves
from mac_whisper_speedtest.report.html.markup import Html, clipped, join, tag
from mac_whisper_speedtest.report.html.tables import Column, Field, Row
from mac_whisper_speedtest.report.numbers import MISSING
from mac_whisper_speedtest.results.schema import RoundResult, Run

_REASON = 200
_UNITS = {
    "load_average_1m": ("load average", 1.0, ".2f"),
    "swap_used_bytes": ("swap MB", 1e-6, ".0f"),
    "memory_pressure": ("memory pressure", 1.0, ""),
    "memory_stall_share": ("memory stall %", 100.0, ".1f"),
    "thermal_pressure": ("thermal pressure", 1.0, ""),
    "hottest_c": ("hottest °C", 1.0, ".0f"),
    "zones_reached": ("thermal limits", 1.0, ""),
    "gpu_throttle": ("GPU held back", 1.0, ""),
    "gpu_clocks_mhz": ("GPU MHz", 1.0, ""),
    "cpu_mhz": ("CPU MHz", 1.0, ".0f"),
    "cpu_limit_mhz": ("CPU limit MHz", 1.0, ".0f"),
    "power_source": ("power", 1.0, ""),
    "low_power_mode": ("low power", 1.0, ""),
}


def section(run: Run, limits: Limits) -> Html:
    """The canary as a drawing, the rounds as a table, and what nobody knows."""
    if not run.rounds:
        return tag("p", "The machine was not watched during this run.")
    rounds = sorted(run.rounds, key=lambda each: each.round)
    marked = [each for each in rounds if each.marked]
    said = (
        f"{len(marked)} of {len(rounds)} rounds are marked: something was different in them."
        if marked
        else f"Nothing was different in any of the {len(rounds)} rounds."
    )
    more = len(rounds) - limits.entries
    return join(
        [
            tag("p", said),
            _canary(rounds[: limits.entries]),
            _table(rounds[: limits.entries]),
            tag("p", f"{more} rounds more stand in the run's own files.") if more > 0 else "",
            _unknown(rounds),
        ]
    )


def _canary(rounds: list[RoundResult]) -> Html:
    """A fixed small computation, timed before and after every round."""
    lines = [
        Curve(
            name,
            [
                (each.round + 1, seconds * 1000)
                for each in rounds
                if (seconds := getattr(each, attribute)) is not None
            ],
        )
        for name, attribute in (
            ("before the round", "canary_before_s"),
            ("after it", "canary_after_s"),
        )
    ]
    known = [each for each in lines if each.points]
    if not known:
        return Html("")
    return join(
        [
            tag(
                "p",
                "The canary is a fixed small computation: it takes longer when the machine has "
                "become slower, whatever backend runs.",
                class_="quiet",
            ),
            curves(
                "canary",
                known,
                x_axis="round",
                y_axis="milliseconds",
                title="The canary before and after every round",
                height=190,
                zero=False,
            ),
        ]
    )


def _table(rounds: list[RoundResult]) -> Html:
    there = {name for each in rounds for name in (*each.before.values, *each.after.values)}
    names = [name for name in (*_UNITS, *sorted(there - _UNITS.keys())) if name in there]
    columns = [
        Column("round", number=True),
        Column("canary ms", number=True),
        *(Column(_UNITS.get(name, (name, 1.0, ""))[0], number=True) for name in names),
        Column("changes", long=True),
        Column("marked", long=True),
    ]
    rows = [
        Row(
            [
                Field(str(each.round + 1), each.round),
                _pair(each.canary_before_s, each.canary_after_s, 1000.0, ".1f"),
                *(
                    _pair(each.before.values.get(name), each.after.values.get(name), factor, form)
                    for name in names
                    for _, factor, form in (_UNITS.get(name, (name, 1.0, "")),)
                ),
                "; ".join(each.changes) or MISSING,
                _mark(each),
            ]
        )
        for each in rounds
    ]
    return tables.table(columns, [rows], caption="Before → after each round")


def _mark(each: RoundResult) -> str:
    if not each.marked:
        return MISSING
    again = "" if each.repeated_as is None else f"; repeated as round {each.repeated_as + 1}"
    cooled = "" if each.cooled_s is None else f"; waited {each.cooled_s:.0f} s afterwards"
    return f"{each.marked}{again}{cooled}"


def _pair(before: object, after: object, factor: float, form: str) -> Field:
    """Both values, or the one that they share."""
    first, second = _value(before, factor, form), _value(after, factor, form)
    sort_by = before if isinstance(before, int | float) else first
    if first == second:
        return Field(first, sort_by)
    return Field(f"{first} → {second}", sort_by)


def _value(value: object, factor: float, form: str) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return format(value * factor, form or "g")
    return str(value) or "none"


def _unknown(rounds: list[RoundResult]) -> Html:
    """What no look could tell, and why."""
    reasons = dict(_reasons(rounds))
    if not reasons:
        return Html("")
    return tag(
        "details",
        tag("summary", f"Not known here: {len(reasons)}"),
        tag(
            "ul",
            *(
                tag("li", f"{_UNITS.get(name, (name,))[0]}: {clipped(reason, _REASON)}")
                for name, reason in reasons.items()
            ),
        ),
    )


def _reasons(rounds: list[RoundResult]) -> Iterator[tuple[str, str]]:
    for each in rounds:
        for look in (each.before, each.after):
            yield from look.unknown.items()
