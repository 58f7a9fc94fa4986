"""Pulling through a network that fails: resumed, repeated with patience, or refused in one line."""

from __future__ import annotations

import datetime
import errno
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from fakes.hub import Fault, Hub, refusing_port
from mac_whisper_speedtest import catalog, http_errors
from mac_whisper_speedtest.download import RetryPolicy
from mac_whisper_speedtest.errors import DownloadError, ExitCode, SpeedtestError, StorageError
from mac_whisper_speedtest.weights import locate, pull
from weights.conftest import COMMIT, WEIGHTS, Seen, cached

FILE = "model.safetensors"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
BLOB = f"models--someone--small/blobs/{SHA256}"
Fetch = Callable[..., Path]


def test_a_connection_cut_at_each_quarter_is_resumed_where_it_was_cut(hub: Hub, seen: Seen) -> None:
    row = pull.row_for("tiny.en")
    assert row.revision is not None
    source = locate.official("tiny.en").path
    hub.add(row.repository, row.revision, {file.name: source / file.name for file in row.files})
    model = next(file for file in row.files if file.name == "model.bin")
    assert model.size is not None
    cuts = [model.size * quarter // 4 for quarter in (1, 2, 3)]
    hub.fail("model.bin", *(Fault(cut_at=cut) for cut in cuts))

    folder = pull.pull_row(
        row,
        notify=seen.messages.append,
        progress=seen,
        policy=RetryPolicy(sleep=seen.waits.append),
    )

    bodies = hub.bodies("model.bin")
    assert [body.range for body in bodies] == ["", *(f"bytes={cut}-" for cut in cuts)]
    assert sum(body.sent for body in bodies) == model.size
    digest = hashlib.sha256((folder / "model.bin").read_bytes()).hexdigest()
    assert digest == model.sha256
    # A try that moved the file on is not held against it: each wait is a first one.
    assert all(wait <= 1 for wait in seen.waits)
    assert len(seen.waits) == 3
    assert seen.here["model.bin"] == sorted(seen.here["model.bin"])


def test_a_cut_at_the_very_end_and_at_the_very_beginning_are_resumed(
    hub: Hub, fetch_small: Fetch
) -> None:
    hub.fail(FILE, Fault(cut_at=0), Fault(cut_at=len(WEIGHTS) - 1))
    assert (fetch_small() / FILE).read_bytes() == WEIGHTS
    assert [body.range for body in hub.bodies(FILE)] == ["", "", f"bytes={len(WEIGHTS) - 1}-"]


def test_a_wrong_body_of_the_right_size_is_fetched_once_more(
    hub: Hub, fetch_small: Fetch, seen: Seen
) -> None:
    hub.fail(FILE, Fault(alter=True))
    assert (fetch_small() / FILE).read_bytes() == WEIGHTS
    assert [body.range for body in hub.bodies(FILE)] == ["", ""]
    assert f"{FILE} does not have the pinned hash; downloading it again" in seen.messages


def test_a_body_that_is_wrong_twice_is_refused_and_nothing_of_it_stays(
    hub: Hub, fetch_small: Fetch, tmp_path: Path
) -> None:
    hub.fail(FILE, Fault(alter=True, times=9))
    with pytest.raises(
        DownloadError, match="does not have the pinned hash, twice; it was removed"
    ) as caught:
        fetch_small()
    assert caught.value.exit_code == ExitCode.DOWNLOAD
    assert len(hub.bodies(FILE)) == 2
    assert [path for path in cached(tmp_path) if SHA256 in path or FILE in path] == []


def test_a_body_that_was_damaged_before_it_was_resumed_is_fetched_anew(
    hub: Hub, fetch_small: Fetch, tmp_path: Path
) -> None:
    partial = tmp_path / "hub" / f"{BLOB}.incomplete"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"\0" * 500_000)  # as after a power cut
    assert (fetch_small() / FILE).read_bytes() == WEIGHTS
    assert [body.range for body in hub.bodies(FILE)] == ["bytes=500000-", ""]
    assert not partial.exists()


@pytest.mark.parametrize("size", [len(WEIGHTS), len(WEIGHTS) + 1])
def test_leftovers_as_long_as_the_file_or_longer_are_no_trap(
    size: int, hub: Hub, fetch_small: Fetch, tmp_path: Path
) -> None:
    partial = tmp_path / "hub" / f"{BLOB}.incomplete"
    partial.parent.mkdir(parents=True)
    partial.write_bytes((WEIGHTS + b"x")[:size])
    assert (fetch_small() / FILE).read_bytes() == WEIGHTS
    # What is whole needs no body at all.
    assert len(hub.bodies(FILE)) == (0 if size == len(WEIGHTS) else 1)


def test_a_server_that_cannot_resume_sends_the_whole_file_again(
    hub: Hub, fetch_small: Fetch, seen: Seen
) -> None:
    hub.fail(FILE, Fault(cut_at=1_500_000), Fault(ignore_range=True))
    assert (fetch_small() / FILE).read_bytes() == WEIGHTS
    assert [(body.range, body.status) for body in hub.bodies(FILE)] == [
        ("", 200),
        ("bytes=1500000-", 200),
    ]
    assert seen.here[FILE][-1] == len(WEIGHTS)


def test_a_body_longer_than_pinned_is_not_taken_beyond_its_size(
    hub: Hub, fetch_small: Fetch
) -> None:
    hub.fail(FILE, Fault(extra=b"x" * 200_000))
    assert (fetch_small() / FILE).read_bytes() == WEIGHTS


def test_too_many_requests_are_waited_out_as_long_as_the_hub_asks(
    hub: Hub, fetch_small: Fetch, seen: Seen
) -> None:
    hub.fail(FILE, Fault(status=429, headers={"Retry-After": "7"}))
    hub.fail(FILE, Fault(status=429, headers={"Retry-After": "99999"}, method="HEAD"))
    hub.fail("", Fault(status=503))
    fetch_small()
    assert seen.waits == [1.0, 120.0, 7.0]
    assert f"{FILE}: the hub answered 429; retrying in 7 s (1 of 4)" in seen.messages


def test_an_error_of_the_server_is_tried_again_with_longer_and_longer_waits(
    hub: Hub, fetch_small: Fetch, seen: Seen
) -> None:
    hub.fail(FILE, Fault(status=500), Fault(status=502), Fault(status=504))
    assert (fetch_small() / FILE).read_bytes() == WEIGHTS
    assert seen.waits == [1.0, 2.0, 4.0]


def test_an_error_of_the_server_that_stays_is_given_up_with_what_is_here_kept(
    hub: Hub, fetch_small: Fetch, seen: Seen, tmp_path: Path
) -> None:
    hub.fail(FILE, Fault(cut_at=400_000), Fault(status=500, times=99))
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1 answered 500 for model"):
        fetch_small()
    assert seen.waits == [1.0, 2.0, 4.0, 8.0]
    assert (tmp_path / "hub" / f"{BLOB}.incomplete").stat().st_size == 400_000
    hub.faults.clear()
    hub.log.clear()
    assert (fetch_small() / FILE).read_bytes() == WEIGHTS
    assert [body.range for body in hub.bodies(FILE)] == ["bytes=400000-"]


def test_waits_have_a_limit_and_jitter() -> None:
    calm = RetryPolicy(jitter=lambda: 0.0)
    hasty = RetryPolicy(jitter=lambda: 1.0)
    assert [calm.wait_s(failures, None) for failures in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert [hasty.wait_s(failures, None) for failures in (1, 5, 6, 999)] == [1.0, 16.0, 30.0, 30.0]


def test_a_drip_is_cut_off_and_the_file_is_resumed(
    hub: Hub, fetch_small: Fetch, seen: Seen
) -> None:
    hub.fail(FILE, Fault(bytes_per_s=50_000))
    folder = fetch_small(min_bytes_per_s=500_000, window_s=0.3)
    assert (folder / FILE).read_bytes() == WEIGHTS
    first, second = hub.bodies(FILE)
    assert second.range == f"bytes={len(WEIGHTS) - second.sent}-"
    assert 0 < first.sent < 200_000
    assert [line for line in seen.messages if "kB/s for 0 s; retrying" in line]


def test_silence_is_cut_off(hub: Hub, fetch_small: Fetch, seen: Seen) -> None:
    hub.fail(FILE, Fault(silent=True))
    assert (fetch_small(silence_s=0.4) / FILE).read_bytes() == WEIGHTS
    assert f"{FILE}: no answer in time; retrying in 1 s (1 of 4)" in seen.messages


def refused(fetch: Fetch) -> SpeedtestError:
    with pytest.raises(SpeedtestError) as caught:
        fetch()
    return caught.value


def test_each_refusal_of_the_hub_is_said_in_its_own_words(
    hub: Hub, fetch_small: Fetch, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = hub.repositories["someone/small"]

    repository.gated = True
    gated = refused(fetch_small)
    assert gated.message.startswith("someone/small is gated")
    assert f"{hub.endpoint}/someone/small" in gated.hint
    assert "HF_TOKEN" in gated.hint

    repository.gated, repository.private = False, True
    private = refused(fetch_small)
    assert "requires a login (401): someone/small is private or does not exist" in private.message
    assert "hf auth login" in private.hint

    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")
    hub.fail("", Fault(status=401), Fault(status=403))
    assert "refused the token for someone/small (401)" in refused(fetch_small).message
    assert "does not let you read someone/small (403)" in refused(fetch_small).message

    repository.private = False
    hub.repositories["someone/small"].commit = "9" * 40
    assert refused(fetch_small).message == f"someone/small has no revision {COMMIT}"

    del hub.repositories["someone/small"]
    assert "there is no repository someone/small on 127.0.0.1" in refused(fetch_small).message

    assert seen.waits == []  # none of these is tried again
    assert "hf_abcdefghijklmnop" not in str(seen.messages)


def test_a_file_that_the_commit_lacks_is_named(hub: Hub, seen: Seen) -> None:
    row = pull.row_for("tiny.en")
    assert row.revision is not None
    hub.add(row.repository, row.revision, {"config.json": b"{}"})
    with pytest.raises(DownloadError, match=r"has no file model\.bin at 0d3d19a3"):
        pull.pull_row(row, notify=seen.messages.append)


@pytest.mark.parametrize(
    "variable", ["SPEEDTEST_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
)
def test_offline_names_the_variable_and_still_finds_what_is_here(
    variable: str, hub: Hub, fetch_small: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    error = refused(fetch_small)
    assert f"{variable}=1 forbids fetching it" in error.message
    assert error.hint == f"unset {variable} for this command"
    assert error.exit_code == ExitCode.DOWNLOAD
    assert hub.log == []
    monkeypatch.delenv(variable)
    folder = fetch_small()
    monkeypatch.setenv(variable, "1")
    assert fetch_small() == folder


def test_a_hub_that_refuses_connections_or_cannot_be_found(
    fetch_small: Fetch, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_port() as port:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        error = refused(fetch_small)
    assert error.message == "cannot connect to 127.0.0.1: Connection refused"
    assert len(seen.waits) == 4
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    error = refused(fetch_small)
    assert error.message.startswith("cannot find hub.invalid: ")
    assert error.hint == "check the network"


def test_a_proxy_is_named_without_its_login(
    hub: Hub, fetch_small: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import close_session

    proxy = hub.endpoint.removeprefix("http://")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://user:sesame-open@{proxy}")
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    hub.fail("", Fault(status=407))
    close_session()  # the session reads the proxy variables when it is made
    try:
        error = refused(fetch_small)
    finally:
        close_session()
    assert error.message == f"the proxy {proxy} refused the request: 407"
    assert "NO_PROXY" in error.hint
    assert "sesame" not in error.message + error.hint


def test_an_address_that_is_no_hub_is_refused(hub: Hub, seen: Seen) -> None:
    row = pull.row_for("base.en", "mlx")
    hub.add(row.repository, "../..", {"weights.npz": WEIGHTS})
    with pytest.raises(DownloadError, match=r"cannot be read: .*`\$\.sha`"):
        pull.pull_row(row, notify=seen.messages.append)


def test_full_disks_and_forbidden_folders_are_errors_of_storage() -> None:
    asked = http_errors.RequestContext("https://hub.example", "org/name", COMMIT, FILE)
    full = http_errors.to_user_error(
        OSError(errno.ENOSPC, "No space left on device", "/x/y"), asked
    )
    assert isinstance(full, StorageError)
    assert full.message == "the disk is full: cannot write /x/y"
    assert "the download resumes" in full.hint
    denied = http_errors.to_user_error(
        PermissionError(errno.EACCES, "Permission denied", "/x/y"), asked
    )
    assert isinstance(denied, StorageError)
    assert denied.message == "cannot write /x/y: Permission denied"


def test_retry_after_may_be_a_date() -> None:
    headers = {"Retry-After": "Fri, 20 Nov 2026 12:00:30 GMT"}
    error = OSError()
    error.response = SimpleNamespace(headers=headers)  # type: ignore[attr-defined]
    now = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
    assert http_errors.retry_after_s(error, now) == 30
    headers["Retry-After"] = "soon"
    assert http_errors.retry_after_s(error, now) is None
    assert http_errors.retry_after_s(OSError(), now) is None


def test_the_cache_cannot_be_written(fetch_small: Fetch, tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="cannot write"):
        fetch_small()


def test_the_catalog_s_rows_all_can_be_wished_for() -> None:
    for row in catalog.hosted_weights():
        if row.repository and not row.unavailable:
            pull.cost(row)
