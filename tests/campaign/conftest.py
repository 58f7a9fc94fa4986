"""Seeded campaigns: a test here that takes ``seed`` runs once per seed.

The suite takes the first few seeds. All of them, as every night::

    SPEEDTEST_CAMPAIGN_SEEDS=1000 python3 tests/run.py -m campaign

One that failed, here the 418th: ``SPEEDTEST_CAMPAIGN_SEEDS=418 ... -m campaign -k 'seed417'``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

QUICK_SEEDS = 3
_COUNT = int(os.environ.get("SPEEDTEST_CAMPAIGN_SEEDS", QUICK_SEEDS))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test its seeds."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(_COUNT), ids=lambda seed: f"seed{seed}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.campaign)
