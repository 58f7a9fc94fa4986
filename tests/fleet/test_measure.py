"""One job on this machine: whom it is refused to, and what becomes of it. Runs are real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mac_whisper_speedtest import files
from mac_whisper_speedtest.bundle import read
from mac_whisper_speedtest.doctor.lines import Checkup, Section, fail, warn
from mac_whisper_speedtest.fleet import job, measure
from mac_whisper_speedtest.fleet.job import Delivery, Ending, Job, NodeAnswer
from mac_whisper_speedtest.fleet.labels import Labels
from mac_whisper_speedtest.fleet.storage import Outbox
from mac_whisper_speedtest.machine import host
from mac_whisper_speedtest.run import monitor, session

LABELS = Labels(known={"node": "n1", "os": "linux", "version": "6.1", "memory": 8 << 30})
FIT = Checkup((Section("quiet", (warn("background load", "90 % busy", "wait"),)),))


class Bench:
    """A node's half of a job."""

    def __init__(self, folder: Path, request: dict[str, Any]) -> None:
        self.folder = folder
        self.request = request
        self.to = folder / "shared"
        self.to.mkdir()
        self.outbox = Outbox(folder / "node" / "outbox")
        self.checkup = FIT
        self.canary: Callable[[], float] = lambda: 0.01

    def measure(self, *on: str, **changes: Any) -> NodeAnswer:
        asked = Job(request={**self.request, **changes}, to=str(self.to), on=on)
        delivery = job.decode_delivery(job.encode(Delivery(job=asked, attempt=3)))
        with self.outbox.claimed():
            answer = measure.measure(
                delivery, "n1", self.outbox,
                probe=lambda name: LABELS, examine=lambda: self.checkup, canary=self.canary,
            )  # fmt: skip
        assert (answer.id, answer.attempt) == (asked.id, 3)
        assert job.decode_answer(job.encode(answer)) == answer
        return answer


@pytest.fixture
def bench(tmp_path: Path, fake: Callable[..., Path], tone: Path) -> Bench:
    asked = {"models": ("tiny.en",), "backends": (str(fake("quick")),), "audio": str(tone)}
    return Bench(tmp_path, {**asked, "rounds": 1, "retake": False})


def test_a_job_ends_as_a_bundle_in_the_outbox_with_the_hash_that_is_answered(
    bench: Bench,
) -> None:
    answer = bench.measure("memory>=8G", "os=linux")
    assert answer.ending is Ending.DONE, answer.reason
    (bundle,) = bench.outbox.waiting()
    assert answer.bundle_sha256 == files.sha256_file(bundle)
    assert answer.address is None
    assert [cell.status for cell in read.read_bundle(bundle).cells] == ["ok"]
    (stored,) = bench.outbox.hand_in()
    assert stored.bundle_sha256 == answer.bundle_sha256
    assert stored.address


def test_a_run_whose_cells_failed_is_done_because_failures_are_results(
    bench: Bench, fake: Callable[..., Path]
) -> None:
    answer = bench.measure(backends=(str(fake("bad", fault="bad_model")),))
    assert answer.ending is Ending.DONE, answer.reason


@pytest.mark.parametrize(
    ("on", "changes", "reason"),
    [
        (("memory>=16G",), {}, "memory: 8 GiB; the job asks for memory>=16G"),
        ((), {"backends": ("no-such-backend",)}, "unknown backend 'no-such-backend'"),
        (
            (),
            {"models": ("large-v3",), "backends": ("faster-whisper",), "audio": None},
            "no weights",
        ),
        ((), {"rounds": 0}, "rounds"),
        ((), {"colour": "red"}, "an option that is unknown here"),
        (("ram>=16G",), {}, "nodes have no label 'ram'"),
    ],
)
def test_what_cannot_be_measured_here_is_refused_with_the_reason(
    bench: Bench, on: tuple[str, ...], changes: dict[str, Any], reason: str
) -> None:
    answer = bench.measure(*on, **changes)
    assert answer.ending is Ending.REFUSED
    assert reason in answer.reason
    assert bench.outbox.waiting() == []


def test_a_job_whose_bundle_could_not_be_stored_is_refused_before_it_is_measured(
    bench: Bench,
) -> None:
    bench.to.rmdir()
    answer = bench.measure()
    assert answer.ending is Ending.REFUSED
    assert "there is no folder" in answer.reason


def test_a_machine_that_doctor_fails_is_not_ready(bench: Bench) -> None:
    bench.checkup = Checkup((Section("quiet", (fail("thermal state", "trapping", "wait"),)),))
    answer = bench.measure()
    assert answer.ending is Ending.NOT_READY
    assert answer.reason == "thermal state: trapping (speedtest doctor)"


def test_a_machine_on_which_somebody_measures_is_not_ready_and_nobody_waits(
    bench: Bench,
) -> None:
    with host.measuring_alone(print):
        answer = bench.measure()
    assert answer.ending is Ending.NOT_READY
    assert "measures on this machine" in answer.reason
    assert bench.measure().ending is Ending.DONE


def test_a_machine_that_became_slower_is_not_ready_until_it_recovers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "COOL_DOWN_S", 0.0)
    assert bench.measure(retake=True).ending is Ending.DONE
    bench.canary = lambda: 0.0125
    answer = bench.measure(retake=True)
    assert answer.ending is Ending.NOT_READY
    assert "the canary takes 25% longer than in this node's last 4 jobs" in answer.reason
    assert bench.measure(retake=False).ending is Ending.DONE  # a request that minds no disturbance
    bench.canary = lambda: 0.0102
    for _ in range(2):
        assert bench.measure(retake=True).ending is Ending.DONE
    history = bench.folder / "node" / "canary.json"
    assert history.read_bytes().count(b"0.0102") == 2
    assert b"0.0125" not in history.read_bytes()


def test_a_canary_history_of_another_system_or_damaged_counts_for_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "COOL_DOWN_S", 0.0)
    history = bench.folder / "node" / "canary.json"
    bench.canary = lambda: 1.0
    for found in (b"{", b'{"system": "other", "seconds": [0.1, 0.1, 0.1, 0.1, 0.1]}'):
        history.write_bytes(found)
        assert bench.measure(retake=True).ending is Ending.DONE


def test_a_history_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bench.folder / "node" / "canary.json"
    for _ in range(measure._REMEMBERED + 5):
        measure._require_speed(LABELS, path, lambda: 0.01)
    assert path.read_bytes().count(b"0.01") == measure._REMEMBERED


def test_a_full_disk_is_not_ready_and_a_defect_is_a_crash(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        with files.storage_errors("write run.json"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(session, "perform", full)
    assert bench.measure().ending is Ending.NOT_READY
    nothing: dict[str, None] = {}
    monkeypatch.setattr(session, "perform", lambda *_: nothing["defect"])
    answer = bench.measure()
    assert (answer.ending, answer.reason) == (Ending.CRASHED, "KeyError: 'defect'")
