"""Whole fleets: several machines on a network, and what goes wrong with them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import describe_fake
from fakes import fleet_faults as faults
from fakes import tampered
from fakes.fleet_faults import FAULTS, Fault
from fakes.fleets import Fleet, Network, missing, wait_until
from mac_whisper_speedtest.errors import ExitCode

pytestmark = pytest.mark.timeout(600)  # whole programs, many of them, on two cores


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


@pytest.mark.parametrize(
    "fault", [each for each in FAULTS if each.in_suite], ids=lambda fault: fault.name
)
def test_no_job_is_lost_and_every_bundle_is_accounted_for(fault: Fault, tmp_path: Path) -> None:
    account, _ = faults.play(fault, tmp_path)
    assert (account.jobs, account.lost, account.unaccounted) == (faults.JOBS, 0, [])
    assert account.duplicates == account.late
    assert account.attempts.get("crashed", 0) >= fault.crashed


def test_a_person_measures_before_or_after_a_job_but_not_beside_it(
    network: Network, tmp_path: Path
) -> None:
    fleet = Fleet(network, ["a"])
    (machine,) = fleet.nodes.values()
    backend = describe_fake(tmp_path, "steady")
    measure = ("--backend", backend, "--rounds", 1, "--passes", 1)
    fleet.join("a")
    campaign = fleet.run(*measure, "--on", "node=a")
    wait_until(machine.measurements)
    mine = machine.start("run", "--model", "tiny.en", *measure)
    assert mine.wait(120)[0] == 0, mine.output
    status, output = campaign.wait(400)
    runs = list((machine.data / "runs").iterdir())
    assert (status, len(runs), faults.overlaps(machine)) == (0, 2, []), output


def test_a_node_with_the_certificate_of_another_fleet_is_refused_for_good(
    network: Network, tmp_path: Path
) -> None:
    fleet = Fleet(network, ["a"])
    stranger = network.add("stranger")
    stranger.call("fleet", "init", fleet.desk.address, "--node", "a", "-o", tmp_path)
    program = fleet.nodes["a"].start("fleet", "join", "--from", tmp_path / "fleet-a.zip")
    status, output = program.wait()
    assert status == ExitCode.USAGE
    assert "of another fleet" in output


def test_a_job_that_does_not_fit_on_a_disk_is_measured_elsewhere(
    network: Network, tmp_path: Path
) -> None:
    fleet = Fleet(network, ["full", "roomy"])
    full = fleet.nodes["full"]
    full.run(f"mount -t tmpfs -o size=256k none '{full.data}'")
    fleet.join("full")
    fleet.wait_for_nodes(1)
    full.run(f"head -c 1M /dev/zero > '{full.data}/rest' || true")
    fleet.join("roomy")
    fleet.wait_for_nodes(2)
    backend = describe_fake(tmp_path, "steady")
    measure = ("--backend", backend, "--rounds", 1, "--passes", 1)
    status, output = fleet.run(*measure, "--on", "node=~[fr]*", "--repeat", 3).wait(400)
    account = fleet.account()
    assert (status, account.jobs, account.lost, account.unaccounted) == (0, 3, 0, []), output
    assert not list((full.data / "runs").glob("*/run.json"))


def test_bundles_wait_for_a_bucket_that_refuses_them(network: Network, tmp_path: Path) -> None:
    pytest.importorskip("moto")
    fleet = Fleet(network, ["a", "b"])
    bucket = {
        "AWS_ENDPOINT_URL": f"http://{fleet.desk.address}:5000",
        "AWS_ACCESS_KEY_ID": "fleet",
        "AWS_SECRET_ACCESS_KEY": "fleet",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    fleet.desk.start("-H", fleet.desk.address, program=[sys.executable, "-m", "moto.server"])
    for name in fleet.nodes:
        fleet.join(name, **bucket)
    backend = describe_fake(tmp_path, "steady")
    fleet.storage = "s3://bundles/of/all"
    measure = ("--backend", backend, "--rounds", 1, "--passes", 1)
    campaign = fleet.run(*measure, "--on", "node=~[ab]", "--repeat", 4, **bucket)
    outboxes = [node.data / "fleet" / "outbox" for node in fleet.nodes.values()]
    wait_until(lambda: all(list(each.glob("*.zip")) for each in outboxes), 120)
    make = "import s3fs; s3fs.S3FileSystem().mkdir('bundles')"
    assert fleet.desk.start(program=[sys.executable, "-c", make], **bucket).wait()[0] == 0
    status, output = campaign.wait(400)
    look = "import s3fs; print(*s3fs.S3FileSystem().ls('bundles/of/all'), sep='\\n')"
    looked = fleet.desk.start(program=[sys.executable, "-c", look], **bucket)
    looked.wait()
    stored = {line.rpartition("/")[2] for line in looked.output.split()}
    account = fleet.account(stored)
    assert (status, account.jobs, account.lost, account.unaccounted) == (0, 4, 0, []), output
    assert not any(list(each.glob("*.zip")) for each in outboxes)


def test_a_request_over_two_nodes_ends_in_one_leaderboard_whose_numbers_are_recomputed(
    network: Network, tmp_path: Path
) -> None:
    fleet = Fleet(network, ["a", "b"])
    for name in fleet.nodes:
        fleet.join(name)
    measure = ("--backend", "faster-whisper", "--backend", "whisper.cpp", "--rounds", 1)
    on = ("--on", "node=a", "--on", "node=b")
    status, output = fleet.run(*measure, "--passes", 1, *on).wait(500)
    assert status == 0, output
    fleet.desk.call("leaderboard", "build", fleet.storage, "-o", tmp_path / "site")
    built = json.loads((tmp_path / "site" / "leaderboard.json").read_text(encoding="utf-8"))
    speeds: dict[str, list[float]] = {"faster-whisper": [], "whisper.cpp": []}
    for bundle in Path(fleet.storage).iterdir():
        assert set(tampered.members(bundle)) == set(tampered.NAMES)  # there is no summary in it
        seconds = tampered.document(bundle, "manifest.json")["clips"][0]["seconds"]
        backend = ""
        for line in tampered.lines(bundle):
            backend = line.get("cell", backend).partition("/")[0]
            if line["event"] == "sample" and line["kind"] == "timed":
                speeds[backend].append(seconds / line["seconds"])
    (board,) = built["boards"]
    rows = {
        row["configuration"]["backend"]: row for group in board["groups"] for row in group["rows"]
    }
    assert rows.keys() == speeds.keys()
    for backend, row in rows.items():
        assert row["rtfx"]["values"] == pytest.approx(sorted(speeds[backend])), backend
        assert row["error_rate"]["values"] == [0.0, 0.0]  # both heard every word
    collected = fleet.desk.call("fleet", "collect")  # the desk has them as runs already
    assert "2 bundles are runs of this machine (0 new), 0 are not" in collected
