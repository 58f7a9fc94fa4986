"""Storage of bundles: in folders and in a bucket that another process serves; whole or absent."""

from __future__ import annotations

import hashlib
import math
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.disks import fill, small_disk
from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.fleet import job, storage
from mac_whisper_speedtest.fleet.job import Delivery, Ending, Job
from mac_whisper_speedtest.fleet.storage import BundleName, Outbox, Storage, parse_name

ID = "ab" * 32


def bundle(folder: Path, content: bytes = b"a bundle", attempt: int = 1) -> tuple[Path, BundleName]:
    path = folder / "some.zip"
    path.write_bytes(content)
    return path, BundleName(ID, attempt, hashlib.sha256(content).hexdigest())


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "bucket":
        return str(request.getfixturevalue("bucket"))
    (tmp_path / "shared").mkdir()
    return str(tmp_path / "shared")


def test_a_bundle_is_stored_found_by_its_job_and_fetched(place: str, tmp_path: Path) -> None:
    path, name = bundle(tmp_path)
    there = Storage(place)
    assert there.names() == []
    assert there.put(path, name) == f"{place}/{name}"
    _, second = bundle(tmp_path, b"later", attempt=2)
    there.put(path, second)
    assert Storage(place).names(ID) == sorted([name, second])
    assert there.names("cd") == []
    (tmp_path / "here").mkdir()
    assert there.fetch(name, tmp_path / "here").read_bytes() == b"a bundle"
    assert [each.name for each in (tmp_path / "here").iterdir()] == [str(name)]


def test_the_same_bundle_twice_is_one_and_nothing_else_is_listed(
    place: str, tmp_path: Path
) -> None:
    path, name = bundle(tmp_path)
    there = Storage(place)
    assert there.put(path, name) == there.put(path, name)
    if place.startswith("/"):
        for other in (f"{name}.part", f".{name}.xyz", "README", f"{ID}.0.{ID}.zip", "x.1.y.zip"):
            (Path(place) / other).write_text("no bundle")
    assert there.names() == [name]


def test_a_damaged_bundle_is_not_fetched(tmp_path: Path) -> None:
    path, name = bundle(tmp_path)
    (tmp_path / "shared").mkdir()
    there = Storage(str(tmp_path / "shared"))
    there.put(path, name)
    (tmp_path / "shared" / str(name)).write_bytes(b"a bungle")
    with pytest.raises(StorageError, match="is damaged: its SHA-256 is"):
        there.fetch(name, tmp_path)
    assert not (tmp_path / str(name)).exists()
    there.put(path, name)  # whoever has it whole repairs it
    assert there.fetch(name, tmp_path).read_bytes() == b"a bundle"


def test_another_file_of_that_name_in_a_bucket_is_not_replaced(bucket: str, tmp_path: Path) -> None:
    path, name = bundle(tmp_path)
    path.write_bytes(b"not what its name says")
    with pytest.raises(StorageError, match="is not what was written"):
        Storage(bucket).put(path, name)


def test_what_is_larger_than_any_bundle_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "LARGEST_FILE", 4)
    path, name = bundle(tmp_path)
    (tmp_path / "shared").mkdir()
    there = Storage(str(tmp_path / "shared"))
    there.put(path, name)
    with pytest.raises(StorageError, match="at most 4 bytes"):
        there.fetch(name, tmp_path)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://key:secret@bucket/runs", "a user, a password or a query in it"),
        ("s3://bucket/runs?token=secret", "a user, a password or a query in it"),
        ("relative/folder", "is not an absolute path"),
        ("https://example.org/runs", "cannot be stored at"),
        ("filecache::s3://bucket/runs", "cannot be stored at"),
        ("s3://", "cannot be stored at"),
        ("ssh://host/runs", "cannot be stored at"),
    ],
)
def test_addresses_with_secrets_and_of_other_kinds_are_refused(address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Storage(address)
    assert "secret" not in caught.value.message


def test_a_folder_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no folder"):
        Storage(str(tmp_path / "mount"))
    assert not (tmp_path / "mount").exists()


def test_a_store_without_its_library_says_what_to_install() -> None:
    with pytest.raises(StorageError, match="the library for gs:// is not installed"):
        Storage("gs://bucket/runs")


def test_a_bucket_that_is_not_there_or_refuses_stores_nothing_and_shows_no_secret(
    bucket: str, refuse_after: Callable[[float], None], tmp_path: Path
) -> None:
    path, name = bundle(tmp_path)
    with pytest.raises(StorageError, match="bucket does not exist"):
        Storage("s3://no-such-bucket-here/runs").put(path, name)
    with pytest.raises(StorageError, match="list s3://no-such-bucket-here"):
        Storage("s3://no-such-bucket-here").names()

    refuse_after(0)
    with pytest.raises(StorageError) as caught:
        Storage(bucket).put(path, name)
    refuse_after(math.inf)
    shown = f"{caught.value.message} {caught.value.hint}"
    assert "cannot store a bundle in s3://" in shown
    assert "credentials" in shown
    assert "AKIA" not in shown
    assert "wJalr" not in shown
    assert Storage(bucket).names() == []


def test_no_server_at_all_is_an_error_too(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="cannot list s3://"):
        Storage(bucket).names()


PUT = """
import sys
from pathlib import Path
from mac_whisper_speedtest.fleet.storage import Storage, parse_name
print("ready", flush=True)
Storage(sys.argv[1]).put(Path(sys.argv[2]), parse_name(sys.argv[3]))
"""


def start_put(place: str, path: Path, name: BundleName) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PUT, place, str(path), str(name)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_put_that_is_killed_leaves_all_or_nothing_and_the_next_one_clears_up(
    tmp_path: Path,
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    path, name = bundle(tmp_path, os.urandom(1 << 20) * 64)
    left = 0
    for number in range(12):
        with start_put(str(shared), path, name) as process:
            time.sleep(random.Random(number).uniform(0, 0.15))
            process.kill()
        if Storage(str(shared)).names():
            assert files.sha256_file(shared / str(name)) == name.sha256
            (shared / str(name)).unlink()
        left = max(left, len(list(shared.iterdir())))
    assert left > 0  # at least one was killed while it wrote
    Storage(str(shared)).put(path, name)
    assert [each.name for each in shared.iterdir()] == [str(name)]


class Throttle:
    """A connection to the server that carries so many bytes of an upload, and then no more."""

    def __init__(self, server: str, most: int) -> None:
        self.most = most
        self.stuck = threading.Event()
        found = re.fullmatch(r"http://(.+):(\d+)", server)
        assert found
        self._server = (found[1], int(found[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(self._server)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        carried = 0
        try:
            while data := source.recv(1 << 14):
                carried += len(data)
                if carried > self.most:
                    self.stuck.set()
                    continue  # read and dropped until the sender is gone
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            each.close()

    def close(self) -> None:
        self._listener.close()


def test_an_upload_that_is_killed_half_way_is_not_in_the_bucket(
    bucket: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, name = bundle(tmp_path, os.urandom(4 << 20))
    slow = Throttle(s3_server, 2 << 20)
    try:
        with monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", slow.address)
            with start_put(bucket, path, name) as process:
                assert slow.stuck.wait(60)
                process.send_signal(signal.SIGKILL)
    finally:
        slow.close()
    time.sleep(0.5)
    assert Storage(bucket).names() == []
    Storage(bucket).put(path, name)
    assert Storage(bucket).names() == [name]


def test_a_full_disk_stores_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    path, name = bundle(tmp_path, os.urandom(200_000))
    with small_disk(tmp_path / "disk") as disk:
        ballast = fill(disk, 100_000)
        with pytest.raises(StorageError, match="No space left on device"):
            Storage(str(disk)).put(path, name)
        assert list(disk.iterdir()) == [ballast]
        ballast.unlink()
        Storage(str(disk)).put(path, name)
        assert Storage(str(disk)).names() == [name]


def delivery(to: Path | str, repetition: int = 0) -> Delivery:
    asked = {"models": ("tiny.en",)}
    return Delivery(job=Job(request=asked, to=str(to), repetition=repetition), attempt=1)


def test_the_outbox_hands_in_what_it_has_and_forgets_it(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    outbox = Outbox(tmp_path / "outbox")
    first, second = delivery(shared), delivery(shared, repetition=1)
    outbox.begin(first).write_bytes(b"one")
    outbox.begin(second)  # its measurement was killed
    with outbox.claimed():
        (answer,) = outbox.hand_in()
    assert (answer.id, answer.attempt, answer.ending) == (first.job.id, 1, Ending.DONE)
    assert answer.bundle_sha256 == hashlib.sha256(b"one").hexdigest()
    assert answer.address == f"{shared}/{first.job.id}.1.{answer.bundle_sha256}.zip"
    assert Path(answer.address).read_bytes() == b"one"
    assert list(outbox.folder.iterdir()) == []
    assert (outbox.folder.stat().st_mode & 0o777) == 0o700


def test_what_storage_refuses_stays_in_the_outbox_and_is_handed_in_later(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    outbox = Outbox(tmp_path / "outbox")
    outbox.begin(delivery(shared)).write_bytes(b"one")
    (answer,) = outbox.hand_in()
    assert answer.ending is Ending.NOT_STORED
    assert "there is no folder" in answer.reason
    assert len(outbox.waiting()) == 1
    shared.mkdir()
    assert [each.ending for each in outbox.hand_in()] == [Ending.DONE]
    assert outbox.waiting() == []
    assert len(Storage(str(shared)).names()) == 1


def test_a_bundle_whose_delivery_is_lost_or_damaged_is_kept(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox")
    path = outbox.begin(delivery(tmp_path))
    path.write_bytes(b"one")
    path.with_suffix(".json").write_text("{")
    assert [each.ending for each in outbox.hand_in()] == [Ending.NOT_STORED]
    path.with_suffix(".json").unlink()
    assert [each.ending for each in outbox.hand_in()] == [Ending.NOT_STORED]
    assert path.read_bytes() == b"one"


def test_names_are_read_as_they_are_written_and_nothing_else_is_one() -> None:
    name = BundleName(ID, 12, "0" * 64)
    assert parse_name(str(name)) == name
    for text in ("", f"../{name}", f"{name}\n", str(name).upper(), f"{ID}.{ID}.zip"):
        assert parse_name(text) is None


def test_a_delivery_may_have_a_deadline_that_is_no_part_of_its_job() -> None:
    found = job.decode_delivery(
        job.encode(Delivery(job=delivery("/x").job, attempt=1, deadline_s=60.0))
    )
    assert found.deadline_s == 60.0
    assert found.job.id == delivery("/x").job.id
    with pytest.raises(ValueError, match="deadline_s"):
        job.decode_delivery(
            job.encode(Delivery(job=delivery("/x").job, attempt=1, deadline_s=-1.0))
        )
