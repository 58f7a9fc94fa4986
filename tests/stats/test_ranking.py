from __future__ import annotations

import random
import time

import pytest

from mac_whisper_speedtest.stats import ranking
from mac_whisper_speedtest.stats.ranking import RankRange, Verdict

Cells = dict[str, dict[int, float]]


def measured(speeds: dict[str, float], rounds: int = 12, noise: float = 0.01) -> Cells:
    rnd = random.Random(3)
    return {
        name: {each: speed * (1 + rnd.uniform(-noise, noise)) for each in range(rounds)}
        for name, speed in speeds.items()
    }


def test_clear_differences_give_one_rank_each() -> None:
    found = ranking.rank(measured({"slow": 3.0, "fast": 1.0, "middle": 2.0}), margin=0.02)
    assert found.ranks == {
        "fast": RankRange(1, 1), "middle": RankRange(2, 2), "slow": RankRange(3, 3),
    }  # fmt: skip
    assert found.best == "fast"


def test_what_cannot_be_told_apart_is_tied() -> None:
    found = ranking.rank(measured({"a": 1.0, "b": 1.001, "c": 2.0}), margin=0.02)
    assert found.ranks == {"a": RankRange(1, 2), "b": RankRange(1, 2), "c": RankRange(3, 3)}


def test_a_cell_between_two_others_may_tie_with_both() -> None:
    """1.00 and 1.06 differ by more than 4 %, and 1.03 from neither."""
    speeds = {"a": 1.0, "b": 1.03, "c": 1.06}
    found = ranking.rank(measured(speeds, noise=0.001), margin=0.04)
    assert found.ranks == {"a": RankRange(1, 2), "b": RankRange(1, 3), "c": RankRange(2, 3)}


def test_a_cell_alone_is_first() -> None:
    found = ranking.rank(measured({"a": 1.0}), margin=0.02)
    assert found.ranks == {"a": RankRange(1, 1)}
    assert found.pairs == []
    assert found.against_best == {}
    assert found.best == "a"


def test_equal_cells_are_the_same() -> None:
    found = ranking.rank({"a": dict.fromkeys(range(8), 1.0)} | {"b": dict.fromkeys(range(8), 1.0)},
                         margin=0.02)  # fmt: skip
    assert [pair.verdict for pair in found.pairs] == [Verdict.SAME]
    assert found.ranks["b"] == RankRange(1, 2)


def test_cells_without_common_rounds_have_no_rank() -> None:
    found = ranking.rank({"a": {0: 1.0, 1: 1.0}, "b": {2: 9.0}, "c": {}}, margin=0.02)
    assert found.ranks == {}
    assert all(pair.ratio is None for pair in found.pairs)
    assert found.best == "a"
    assert ranking.rank({}, margin=0.02).best is None


def test_against_the_best_every_other_cell_is_judged() -> None:
    found = ranking.rank(measured({"b": 2.0, "a": 1.0, "c": 1.5}), margin=0.02)
    assert set(found.against_best) == {"b", "c"}
    pair = found.against_best["b"]
    assert pair.ratio is not None
    assert pair.ratio.low < 2 < pair.ratio.high
    assert pair.verdict is Verdict.SLOWER
    turned = pair.swapped()
    assert (turned.a, turned.b, turned.verdict) == ("a", "b", Verdict.FASTER)


def test_more_cells_make_wider_intervals() -> None:
    cells = measured(dict.fromkeys("abcdef", 1.0), rounds=20)
    few = ranking.rank({name: cells[name] for name in "ab"}, margin=0.02)
    many = ranking.rank(cells, margin=0.02)
    two, six = few.pairs[0].ratio, many.pairs[0].ratio
    assert two is not None
    assert six is not None
    assert six.level == pytest.approx(1 - 0.05 / 15)
    assert six.relative_width > two.relative_width
    assert many.level == 0.95


def test_a_pair_that_agrees_by_chance_in_few_rounds_is_not_believed() -> None:
    noisy = measured(dict.fromkeys("abcd", 1.0), rounds=3, noise=0.1)
    cells = noisy | {"e": {0: 1.0, 1: 1.0, 2: 1.0}, "f": {0: 1.1, 1: 1.1, 2: 1.1}}
    pair = ranking.against(ranking.rank(cells, margin=0.02).pairs, "e")["f"]
    assert pair.verdict is Verdict.AMBIGUOUS


def test_twelve_cells_of_sixty_rounds_are_ranked_at_once() -> None:
    cells = measured({f"cell {each}": 1.0 + each / 50 for each in range(12)}, rounds=60)
    began = time.process_time()
    found = ranking.rank(cells, margin=0.02)
    assert time.process_time() - began < 2.0
    assert len(found.pairs) == 66


def test_a_broken_time_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero"):
        ranking.rank({"a": {0: 1.0}, "b": {0: 0.0}}, margin=0.02)
    with pytest.raises(ValueError, match="level"):
        ranking.rank({"a": {0: 1.0}}, margin=0.02, level=1.0)
