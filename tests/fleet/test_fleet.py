"""Whole fleets: several machines on a network, and what goes wrong with them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.fleets import Network, missing, wait_until


@pytest.fixture(autouse=True)
def _machines_can_be_simulated() -> None:
    if why := missing():
        pytest.skip(why)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """A network without machines."""
    with Network(tmp_path) as made:
        yield made


def test_a_simulated_machine_is_gone_from_the_network_while_its_link_is_down(
    network: Network,
) -> None:
    here, there = network.add("here"), network.add("there")
    listen = f"import socket; socket.create_server(('{there.address}', 99)).accept()"
    connect = f"import socket; socket.create_connection(('{there.address}', 99), timeout=0.5)"
    there.cut()
    listening = there.start(program=[sys.executable, "-c", listen])
    wait_until(lambda: there.processes("create_server"))
    time.sleep(0.5)
    status, output = here.start(program=[sys.executable, "-c", connect]).wait()
    assert (status, "TimeoutError" in output) == (1, True), output
    there.mend()
    wait_until(lambda: here.start(program=[sys.executable, "-c", connect]).wait()[0] == 0)
    assert listening.wait()[0] == 0
    there.off()
    assert there.processes() == []
