"""Downloads of weights on request: pinned, verified, resumed.

From scripts::

    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.weights import pull

    pull.pull_row(pull.row_for("small"), notify=print)
    pull.pull_custom(catalog.parse_custom("org/name@" + commit), notify=print)
    pull.cost(pull.row_for("small"))  # bytes still missing; sends no request

Files go into the Hugging Face cache (`hub_cache`), where every library finds them; `revisions`
stores the listings of commits that the catalog does not pin completely. If a backend needs a folder
that no repository has, `assemble` creates it from the pulled files.
"""

from __future__ import annotations

import contextlib
import functools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from mac_whisper_speedtest import catalog, files, paths
from mac_whisper_speedtest.download import (
    DEFAULT_POLICY,
    DownloadSource,
    RetryPolicy,
    hub_endpoint,
)
from mac_whisper_speedtest.errors import DownloadError, StorageError, UsageError
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.http_errors import RequestContext, refuse_offline
from mac_whisper_speedtest.hub import HubFile
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.weights import hub_cache, mirror, transfer
from mac_whisper_speedtest.weights.assemble import assemble
from mac_whisper_speedtest.weights.inspect import WeightsState, inspect_copy
from mac_whisper_speedtest.weights.locations import (
    assembled_locations,
    fetched_folder,
    hosted_locations,
)
from mac_whisper_speedtest.weights.revisions import (
    cached_listing,
    lock_path,
    store_listing,
)
from mac_whisper_speedtest.weights.snapshot import (
    PullTarget,
    SnapshotFiles,
    bytes_missing,
    missing_by_size,
    pull_targets,
    resolve_from_listing,
    resolve_offline,
)

# Rates of earlier downloads, to estimate how long the next one takes.

KEPT = 20
"""Downloads kept; older rates mean little, because connections change."""

MIN_BYTES = 1_000_000
"""Latency dominates smaller downloads: their rate does not predict the rate of large ones."""


def record(size_bytes: int, seconds: float) -> None:
    """Store the duration of a download, unless it was smaller than `MIN_BYTES`.

    Raises:
        StorageError: the tool's cache cannot be written.
    """
    if size_bytes < MIN_BYTES or seconds <= 0:
        return
    kept = [*_read(), (size_bytes, round(seconds, 3))][-KEPT:]
    files.write_bytes(_path(), json.dumps(kept).encode())


def expected_seconds(size_bytes: int) -> float | None:
    """Seconds for ``size_bytes`` at the median rate so far; ``None`` without a known rate."""
    rates = [moved / seconds for moved, seconds in _read()]
    return size_bytes / statistics.median(rates) if rates else None


def _read() -> list[tuple[int, float]]:
    try:
        pairs = files.decode_json(_path().read_bytes(), list[tuple[int, float]])
    except (OSError, ValueError):
        return []  # nothing depends on it
    return [(moved, seconds) for moved, seconds in pairs if moved > 0 and seconds > 0]


def _path() -> Path:
    return paths.cache_dir() / "downloads.json"


MARGIN_SHARE = 0.05
MARGIN_BYTES = 200_000_000
"""Free space kept on the disk: the larger of this and `MARGIN_SHARE` of the download."""


def row_for(name: str, weights_format: str = "") -> catalog.HostedWeights:
    """The row of the catalog that ``models pull NAME`` means.

    Args:
        name: a canonical name.
        weights_format: empty for the official one.

    Raises:
        UsageError: no such model, no such format, or it is not published.
    """
    model = catalog.model(name)
    if not weights_format:
        return catalog.official_weights(model.name)
    catalog.require_format(model, weights_format)
    rows = catalog.hosted_by_model()[model.name]
    fitting = [row for row in rows if row.format == weights_format]
    for row in fitting:
        if not row.unavailable:
            return row
    why = fitting[0].unavailable if fitting else "the catalog has none"
    formats = dict.fromkeys(row.format for row in rows if not row.unavailable)
    raise UsageError(
        f"there are no {weights_format} weights of {name}: {why}",
        hint=f"published: {', '.join(formats)}",
    )


def rows_for(name: str, weights_format: str = "") -> tuple[catalog.HostedWeights, ...]:
    """All rows that ``models pull NAME`` fetches, the requested one last; see `row_for`."""
    return with_source(row_for(name, weights_format))


def with_source(row: catalog.HostedWeights) -> tuple[catalog.HostedWeights, ...]:
    """``row``, after the official weights if it completes their conversion and they are missing."""
    source = catalog.official_weights(row.model)
    if not row.kind.extends or any(
        inspect_copy(place).state is WeightsState.COMPLETE for place in hosted_locations(source)
    ):
        return (row,)
    return (source, row)


def pull_row(
    row: catalog.HostedWeights,
    *,
    notify: Callable[[str], None],
    progress: Observer | None = None,
    endpoint: str = "",
    policy: RetryPolicy = DEFAULT_POLICY,
) -> Path:
    """Download the published files of ``row`` if needed, and verify them.

    Valid local files are not fetched again, an interrupted download is resumed, and a second
    process with the same request waits. If all files are local, no request is sent.

    Args:
        row: from the catalog. One without a repository is taken from its mirror.
        notify: receives each download before it starts, its retries, and its rate.
        progress: receives the number of local bytes.
        endpoint: the hub's address; empty for ``HF_ENDPOINT``, else the public hub.
        policy: for a network that fails.

    Returns:
        The folder with the files, in the Hugging Face cache or the tool's own.

    Raises:
        UsageError: it is published only at an address that this tool does not fetch from.
        DownloadError: the download failed, or the server's files are not the pinned ones.
        StorageError: no room, or the cache cannot be written.
    """
    if row.kind.kept_by:
        catalog.require_files(row.model)
    if not row.repository:
        return _from_mirror(row, notify)
    puller = _Puller(notify, progress or Observer(), hub_endpoint(endpoint), policy)
    snapshots = [puller.pull(target) for target in pull_targets(row)]
    if not row.kind.assembled:
        return snapshots[-1].path / row.folder
    own, pulled, _ = assembled_locations(row)
    assemble(row, inspect_copy(pulled), notify=notify)
    return own.folder


def pull_custom(
    custom: catalog.Custom,
    *,
    notify: Callable[[str], None],
    progress: Observer | None = None,
    endpoint: str = "",
    policy: RetryPolicy = DEFAULT_POLICY,
) -> Path:
    """Download the weights of a repository outside the catalog; they are recorded as custom.

    Weights, settings and vocabularies are fetched, code never. Arguments, result and errors are as
    for `pull_row`.
    """
    puller = _Puller(notify, progress or Observer(), hub_endpoint(endpoint), policy)
    target = PullTarget(str(custom), custom.repository, custom.revision, custom=True)
    return puller.pull(target).path


def cost(row: catalog.HostedWeights) -> int | None:
    """Bytes that `pull_row` would still fetch, by size alone; sends no request.

    Returns:
        0 if all files are local, ``None`` if only the hub knows.
    """
    if not row.repository:
        if row.mirror is None:
            return None
        folder = fetched_folder(row)
        return 0 if folder is not None and folder.is_dir() else row.mirror.size
    missing = 0
    for target in pull_targets(row):
        snapshot = resolve_offline(target)
        if snapshot is None:
            return None
        missing += bytes_missing(snapshot.repository, missing_by_size(snapshot))
    return missing


@dataclass(frozen=True, slots=True)
class _Puller:
    notify: Callable[[str], None]
    progress: Observer
    endpoint: str
    policy: RetryPolicy

    def pull(self, target: PullTarget) -> SnapshotFiles:
        with self._locked(target):
            snapshot = resolve_offline(target)
            if snapshot is None or missing_by_size(snapshot):
                refuse_offline(target.name)
                snapshot = snapshot or self._list_files(target)
            if target.custom:
                _record_custom(snapshot)
            missing = snapshot.missing(transfer.whole)
            if missing:
                refuse_offline(target.name)
                self._fetch(target, snapshot, missing)
            else:
                self.notify(f"{target.name} is already here")
            if target.revision == hub_cache.DEFAULT_BRANCH:
                _record_branch(snapshot)
        return snapshot

    def _list_files(self, target: PullTarget) -> SnapshotFiles:
        """Request the hub's listing of the revision, and store it."""
        found = transfer.listing(self._source(target, target.revision), custom=target.custom)
        if target.revision not in {hub_cache.DEFAULT_BRANCH, found.revision}:
            raise DownloadError(
                f"asked for {target.repository}@{target.revision}, the hub answered with commit "
                f"{found.revision}",
                hint="check HF_ENDPOINT, if it is set",
            )
        snapshot = resolve_from_listing(target, found)
        store_listing(found)
        return snapshot

    def _fetch(self, target: PullTarget, snapshot: SnapshotFiles, missing: list[HubFile]) -> None:
        for file in missing:
            if transfer.discard(snapshot.path / file.name, snapshot.repository):
                self.notify(f"{file.name} of {target.name} was damaged; it is fetched again")
        needed = bytes_missing(snapshot.repository, missing)
        _refuse_full_disk(needed)
        host = urlsplit(self.endpoint).hostname
        seconds = expected_seconds(needed)
        usually = f", about {_duration(seconds)} at the usual rate" if seconds else ""
        count = f"{len(missing)} file{'s' if len(missing) > 1 else ''}"
        self.notify(
            f"Fetching {target.name}: {count}, {megabytes(needed, 1)}, of "
            f"{snapshot.repository}@{snapshot.revision[:8]} from {host}{usually}"
        )
        source = self._source(target, snapshot.revision)
        began = time.monotonic()
        received = 0
        self.progress.download_started(missing)
        try:
            for file in missing:
                received += transfer.download_to_cache(
                    file, source, functools.partial(self.progress.downloaded, file)
                )
        finally:
            self.progress.download_ended()
        took = max(time.monotonic() - began, 1e-3)
        record(received, took)
        rate = received / took / 1e6
        self.notify(f"{target.name}: {megabytes(received, 1)} in {took:.1f} s ({rate:.1f} MB/s)")

    def _source(self, target: PullTarget, revision: str) -> DownloadSource:
        context = RequestContext(self.endpoint, target.repository, revision)
        return DownloadSource(context, self.notify, self.policy)

    @contextlib.contextmanager
    def _locked(self, target: PullTarget) -> Iterator[None]:
        """Hold the lock on that revision; notify when another process holds it."""
        path = lock_path(target.repository, target.revision)
        waiting = f"another process is fetching {target.repository}; waiting for it"
        with contextlib.ExitStack() as stack:
            hint = "check its permissions, or set SPEEDTEST_CACHE_DIR to another folder"
            with files.storage_errors(f"write {path.parent}", hint):
                stack.enter_context(files.locked(path, notify=lambda: self.notify(waiting)))
            yield


def _record_branch(snapshot: SnapshotFiles) -> None:
    """Point the default branch at this commit, for libraries that request no commit."""
    path = hub_cache.branch_file(snapshot.repository)
    with contextlib.suppress(OSError):
        if path.read_text(encoding="ascii") == snapshot.revision:
            return
    files.write_bytes(path, snapshot.revision.encode())


def _record_custom(snapshot: SnapshotFiles) -> None:
    """Mark the listing of a commit that was first pulled for a row of the catalog."""
    found = cached_listing(snapshot.repository, snapshot.revision)
    if found is not None and not found.custom:
        store_listing(replace(found, custom=True))


def _refuse_full_disk(needed: int) -> None:
    """Raise StorageError if ``needed`` bytes and a margin do not fit on the cache's disk."""
    margin = max(MARGIN_BYTES, int(needed * MARGIN_SHARE))
    free = hub_cache.free_bytes()
    if free < needed + margin:
        raise StorageError(
            f"not enough room for the weights: {megabytes(needed + margin)} are needed "
            f"({megabytes(needed)} and a margin of {megabytes(margin)}), "
            f"{megabytes(free)} are free",
            hint="make room, or set HF_HUB_CACHE to a folder on another disk",
        )


def _from_mirror(row: catalog.HostedWeights, notify: Callable[[str], None]) -> Path:
    if row.mirror is not None:
        return mirror.fetch_row(row, notify=notify)
    raise UsageError(
        f"{row.model} as {row.format} is published only at {row.url}, which this tool does not "
        "fetch from",
        hint=f"the {row.format} library fetches it itself; or pull {row.model} without --format, "
        "and it is converted",
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
