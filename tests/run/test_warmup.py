"""How long a process is warmed up: on constructed times, and with real workers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conftest import Tool, describe_fake, write_tone
from fakes.sessions import sample
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.journal import TimedEvent
from mac_whisper_speedtest.run.resume import resume_state
from mac_whisper_speedtest.run.task import RoundKey
from mac_whisper_speedtest.run.warmup import (
    MOST_CALLS,
    MOST_TRIES,
    Call,
    WarmUp,
    another_call,
    enough_calls,
)


def made(
    seconds: Callable[[int], float], *, on_cpu: bool = True, enough: int | None = None
) -> list[float]:
    """The calls that a process makes whose call number n, from 1, takes ``seconds(n)``."""
    calls: list[Call] = []
    while another_call(calls, on_cpu=on_cpu, enough=enough):
        took = seconds(len(calls) + 1)
        calls.append(Call(took, took))
    return [each.seconds for each in calls]


def steps(*seconds: float) -> Callable[[int], float]:
    """These seconds one after the other, and then the last of them for ever."""
    return lambda number: seconds[min(number, len(seconds)) - 1]


def calls(*seconds: float) -> list[Call]:
    return [Call(each, each) for each in seconds]


@pytest.mark.parametrize(
    ("seconds", "count"),
    [
        (steps(1.0), 2),
        (steps(1.0, 0.96), 2),
        (steps(3.0, 1.0), 3),
        (steps(3.0, 2.0, 1.0), 4),
        (steps(0.0004, 0.0009), 2),  # what a clock scatters is no difference
        (steps(1.0, 1.2), 3),  # slower counts as well
    ],
)
def test_a_process_is_warm_when_two_calls_agree(
    seconds: Callable[[int], float], count: int
) -> None:
    assert len(made(seconds)) == count


def test_a_noisy_backend_does_not_warm_up_for_ever() -> None:
    assert len(made(lambda number: 1.0 + number % 2)) == MOST_TRIES


def test_a_slow_backend_is_not_called_only_to_see_whether_it_is_warm() -> None:
    assert made(steps(30.0, 20.0)) == [30.0]
    assert made(steps(6.0, 5.0, 3.0)) == [6.0, 5.0, 3.0]  # a fourth would pass ten seconds


def test_an_accelerator_gets_a_second_of_calls_after_the_first() -> None:
    assert sum(made(steps(0.1), on_cpu=False)[1:]) == pytest.approx(1.0, abs=0.11)
    assert made(steps(60.0, 0.6), on_cpu=False) == [60.0, 0.6, 0.6]  # compilation keeps it idle
    assert made(steps(60.0, 30.0), on_cpu=False) == [60.0, 30.0]


def test_an_accelerator_goes_on_after_that_second_until_two_calls_agree() -> None:
    assert made(steps(5.0, 2.0, 1.0), on_cpu=False) == [5.0, 2.0, 1.0, 1.0]
    noisy = made(lambda number: 0.5 + number % 2, on_cpu=False)
    assert sum(noisy[1:]) > 1.0
    assert len(noisy) <= MOST_TRIES + 2


def test_an_accelerator_gets_its_second_in_every_process() -> None:
    assert len(made(steps(0.1), on_cpu=False, enough=1)) == len(made(steps(0.1), on_cpu=False))


def test_calls_have_a_limit_whatever_the_clocks_say() -> None:
    assert len(made(steps(0.0), on_cpu=False)) == MOST_CALLS


def test_what_one_process_showed_is_not_shown_again_on_a_processor() -> None:
    assert len(made(steps(3.0, 1.0), enough=1)) == 1
    assert len(made(steps(3.0, 2.0, 1.0), enough=2)) == 2


@pytest.mark.parametrize(
    ("seconds", "enough"),
    [
        ((1.0,), None),
        ((3.0, 1.0), None),
        ((1.0, 1.0), 1),
        ((3.0, 1.0, 1.0), 1),
        ((3.0, 2.0, 1.0, 1.0), 2),
        ((1.0, 2.0, 1.0, 2.0, 1.0), None),
    ],
)
def test_the_first_of_two_calls_that_agree_was_warm(
    seconds: tuple[float, ...], enough: int | None
) -> None:
    assert enough_calls(calls(*seconds)) == enough


def test_processes_are_asked_until_one_shows_what_is_enough() -> None:
    state = WarmUp()
    for seconds in ((3.0, 1.0, 2.0, 1.0, 2.0), (3.0, 2.0, 1.0, 1.0), (1.0, 1.0)):
        state.learn(calls(*seconds))
    assert state.enough == 2


def test_a_call_is_never_timed_because_of_its_own_time() -> None:
    """Whether a call is one of the warm-up is decided by those before it alone."""
    for last in (0.5, 1.0, 2.0):
        assert made(steps(1.0, 1.0, last)) == [1.0, 1.0]


def test_a_resumed_run_knows_what_its_processes_have_shown() -> None:
    def warmed(number: int, *seconds: float) -> list[s.Sample]:
        where: RoundKey = {"cell": "a", "round": number, "attempt": 0}
        return [sample(where, -1, each) for each in seconds]

    unclear, shown = warmed(0, 1.0, 2.0), warmed(1, 3.0, 2.0, 1.0, 1.0)
    lines = [TimedEvent(0.0, event) for event in (*unclear, *shown)]
    assert resume_state(lines).enough_calls == {"a": 2}
    assert resume_state(lines[:2]).enough_calls == {}


Warmed = dict[str, list[list[tuple[str, Call]]]]


@pytest.fixture(scope="module")
def warmed(tmp_path_factory: pytest.TempPathFactory) -> Warmed:
    """Backend → the recordings and times of every process's warm-up, by real workers on a set."""
    folder = tmp_path_factory.mktemp("set")
    for number in range(3):
        write_tone(folder / f"{number}.wav", 2.0 + number)
    tool = Tool(tmp_path_factory.mktemp("tmp"))
    names = ("Steady", "WarmsUp")
    chosen = [
        describe_fake(tmp_path_factory.mktemp(name), name, adapter=f"pitfalls:{name}")
        for name in names
    ]
    with chosen[0].open("a", encoding="utf-8") as text:
        text.write('compiles_shapes_on = ["cpu"]\n')
    done = tool(
        *["run", "-m", "tiny.en", "--audio", folder, "-b", chosen[0], "-b", chosen[1]],
        *["--rounds", 2, "--json"],
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return {
        name: [
            [
                (each["utterance"], Call(each["seconds"], each["wall_s"]))
                for each in done.cell(name)["samples"]
                if each["kind"] == "warmup" and each["round"] == number
            ]
            for number in range(2)
        ]
        for name in names
    }


def test_a_worker_is_warmed_up_until_it_is_warm(warmed: Warmed) -> None:
    first, later = ([call for _, call in made] for made in warmed["WarmsUp"])
    assert len(first) >= 4  # of which the first two are long
    enough = enough_calls(first)
    assert enough is None or len(later) == enough


def test_where_lengths_are_compiled_every_recording_is_warmed_up(warmed: Warmed) -> None:
    for made in warmed["Steady"]:
        first, *others = dict.fromkeys(name for name, _ in made)
        assert [name for name, _ in made if name != first] == others
        assert len(others) == 2
    assert len({name for made in warmed["WarmsUp"] for name, _ in made}) == 1
