"""Forged boards: forgers are found and named, honest bundles never are."""

from __future__ import annotations

import math
import random
from pathlib import Path

from fakes.forgery import BACKENDS, SELF_CONTRADICTING, board_of, divided, honest


def test_a_board_of_honest_bundles_names_none(tmp_path: Path, seed: int) -> None:
    rnd = random.Random(seed)
    runs = honest(rnd, rnd.randint(1, 7), rnd.randint(1, 5))
    _, named = board_of(runs, tmp_path)
    assert named.left_out == set()
    assert named.slower == set()
    assert named.disputed == {}
    assert named.refused == set()


def test_times_that_were_divided_are_found_by_the_peers(tmp_path: Path, seed: int) -> None:
    """In up to two thirds of the bundles, by a factor that is beyond what machines differ by."""
    rnd = random.Random(seed)
    bundles, backends = rnd.randint(3, 7), rnd.randint(2, 5)
    runs = honest(rnd, bundles, backends)
    backend, factor = rnd.choice(BACKENDS[:backends]), math.exp(rnd.uniform(math.log(2.5), 4))
    forgers = rnd.sample(range(bundles), rnd.randint(1, bundles * 2 // 3))
    for number in forgers:
        runs[number] = divided(runs[number], backend, factor)

    board, named = board_of(runs, tmp_path)

    names = {runs[number].manifest.run_id for number in forgers}
    found = {bundle for bundle, _ in named.left_out} | set(named.disputed.get(backend, ()))
    assert names <= found
    assert {bundle for bundle, _ in named.left_out} <= names
    assert {each for _, each in named.left_out} <= {backend}
    assert set(named.disputed) <= {backend}
    for group in (group for each in board.boards for group in each.groups):
        for row in group.rows:
            if row.configuration.backend == backend:
                believed = row.rtfx is not None and row.rank is not None
                assert not believed or not names & set(row.bundles) - {
                    each.bundle for each in row.left_out
                }


def test_a_forgery_that_contradicts_its_own_run_is_found_without_peers(
    tmp_path: Path, seed: int
) -> None:
    rnd = random.Random(seed)
    bundles, backends = rnd.randint(1, 4), rnd.randint(1, 4)
    runs = honest(rnd, bundles, backends)
    number, backend = rnd.randrange(bundles), rnd.choice(BACKENDS[:backends])
    forge = rnd.choice(SELF_CONTRADICTING)
    runs[number] = forge(runs[number], backend, rnd.uniform(3, 40))

    _, named = board_of(runs, tmp_path)

    assert named.left_out == {(runs[number].manifest.run_id, backend)}, forge.__name__
