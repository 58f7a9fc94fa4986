"""The ledger of a fleet: which job is queued, leased to a node, done or failed. SQLite, no network.

A job is queued until a node has a lease of it. Every lease is an attempt with a number of its own.
A bundle that reached storage makes its job done, whichever attempt it is of; a further bundle of a
job is a second measurement, recorded beside the first. What happens is durable when a call (or the
`Ledger.batch` around it) returns.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.fleet.job import Ending, Job, NodeAnswer
from mac_whisper_speedtest.fleet.storage import BundleName

REST_S = 600.0
"""How long a node gets no job after it was not ready: such a state seldom passes sooner."""
MOST_CRASHES = 3
"""Crashed attempts after which a job has failed; lost ones do not count."""
BUSY_S = 30.0
"""How long to wait for another process's transaction, which takes milliseconds."""
_VERSION = 1
_TABLES = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    position INTEGER NOT NULL UNIQUE,
    campaign TEXT NOT NULL,
    repetition INTEGER NOT NULL,
    job BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'leased', 'done', 'failed')),
    reason TEXT NOT NULL DEFAULT '',
    forgiven INTEGER NOT NULL DEFAULT 0 -- the last attempt whose ending is not held against it
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state);
CREATE TABLE attempts (
    job TEXT NOT NULL REFERENCES jobs (id),
    number INTEGER NOT NULL CHECK (number >= 1),
    node TEXT NOT NULL,
    state TEXT NOT NULL,
    leased_at REAL NOT NULL,
    away_since REAL,
    ended_at REAL,
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (job, number)
) STRICT;
CREATE UNIQUE INDEX one_lease_per_job ON attempts (job) WHERE state = 'leased';
CREATE UNIQUE INDEX one_lease_per_node ON attempts (node) WHERE state = 'leased';
CREATE TABLE bundles (
    name TEXT PRIMARY KEY,
    job TEXT NOT NULL REFERENCES jobs (id),
    attempt INTEGER NOT NULL,
    seen_at REAL NOT NULL,
    late INTEGER NOT NULL
) STRICT;
CREATE INDEX bundles_by_job ON bundles (job);
CREATE TABLE nodes (
    name TEXT PRIMARY KEY,
    labels BLOB NOT NULL,
    seen_at REAL,
    drained INTEGER NOT NULL DEFAULT 0
) STRICT;
"""


class JobState(StrEnum):
    """Where a job is. Only `FAILED` and `DONE` are final, and a late bundle turns the first."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"


LEASED, LOST = "leased", "lost"
"""States of an attempt beside those of `Ending`."""


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job of the ledger.

    Attributes:
        reason: how its last attempt ended, if that was not well.
    """

    id: str
    campaign: str
    repetition: int
    state: JobState
    reason: str


@dataclass(frozen=True, slots=True)
class AttemptEntry:
    """One lease of a job.

    Attributes:
        state: `LEASED`, `LOST` or one of `Ending`.
        away_since: when the connection of its node ended, or the node kept the bundle because
            storage refused it; seconds since 1970.
    """

    job: str
    number: int
    node: str
    state: str
    leased_at: float
    away_since: float | None
    ended_at: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """A bundle in storage.

    Attributes:
        late: whether its job was done before, or its attempt given up.
    """

    name: str
    job: str
    attempt: int
    late: bool


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A node that joined at least once, with what it was then.

    Attributes:
        seen_at: when it was last connected, in seconds since 1970; None if it never was.
        drained: whether it gets no further job.
    """

    name: str
    labels: Mapping[str, Any]
    seen_at: float | None
    drained: bool


class Ledger:
    """An open ledger. Several processes may have it open; each call is one transaction.

    Args:
        path: of the file, created if there is none, readable by this user alone.
        clock: seconds since 1970.

    Raises:
        StorageError: it cannot be opened, or was written by another version.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._batched = False
        with self._errors(), files.storage_errors(f"open {path}"):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite itself would let everybody read it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._sql = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._sql.execute("PRAGMA journal_mode = WAL")
            self._sql.execute("PRAGMA synchronous = FULL")
            self._sql.execute("PRAGMA foreign_keys = ON")
        with self.batch():
            (version,) = self._sql.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _TABLES.split(";"):
                    self._sql.execute(statement)
                self._sql.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                raise StorageError(
                    f"the ledger {path} has version {version}; this program knows {_VERSION}",
                    hint="use the version of mac-whisper-speedtest that wrote it",
                )

    def close(self) -> None:
        """Close the file."""
        self._sql.close()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Make all changes of the block durable in one step, or none of them.

        Raises:
            StorageError: the file cannot be written.
        """
        if self._batched:
            yield
            return
        with self._errors():
            self._sql.execute("BEGIN IMMEDIATE")
            self._batched = True
            try:
                yield
                self._sql.execute("COMMIT")
            except BaseException:
                if self._sql.in_transaction:  # a full disk rolls back by itself
                    self._sql.execute("ROLLBACK")
                raise
            finally:
                self._batched = False

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            message = f"cannot use the ledger {self.path}: {error}"
            hint = f"{files.CHECK_FOLDER}; if it is damaged, remove it: storage has what is done"
            raise StorageError(message, hint=hint) from error

    # What happens

    def add(self, jobs: Iterable[Job]) -> int:
        """Queue those jobs that are not in the ledger yet, and return how many these are."""
        with self.batch():
            (last,) = self._sql.execute("SELECT coalesce(max(position), 0) FROM jobs").fetchone()
            before = self._sql.total_changes
            for position, job in enumerate(jobs, last + 1):
                self._sql.execute(
                    "INSERT OR IGNORE INTO jobs (id, position, campaign, repetition, job, state)"
                    " VALUES (?, ?, ?, ?, ?, 'queued')",
                    (job.id, position, job.campaign, job.repetition, msgspec.json.encode(job)),
                )
            return self._sql.total_changes - before

    def lease(self, job: str, node: str) -> int:
        """Give a queued job to a node, and return the number of this attempt.

        Raises:
            ValueError: the job is not queued, or the node has a lease.
        """
        with self.batch():
            state, last = self._sql.execute(
                "SELECT (SELECT state FROM jobs WHERE id = ?1), coalesce(max(number), 0)"
                " FROM attempts WHERE job = ?1",
                (job,),
            ).fetchone()
            if state != JobState.QUEUED:
                raise ValueError(f"{job} is not queued")
            try:
                self._sql.execute(
                    "INSERT INTO attempts (job, number, node, state, leased_at)"
                    " VALUES (?, ?, ?, 'leased', ?)",
                    (job, last + 1, node, self._clock()),
                )
            except sqlite3.IntegrityError as error:
                raise ValueError(f"{node} has a lease") from error
            self._sql.execute("UPDATE jobs SET state = 'leased' WHERE id = ?", (job,))
            return int(last) + 1

    def settle(self, answer: NodeAnswer) -> None:
        """Record what a node answered; an answer of an attempt that has ended changes nothing.

        A bundle is recorded in any case.
        """
        with self.batch():
            ending, reason = answer.ending, answer.reason
            if ending is Ending.DONE:
                if answer.bundle_sha256 is not None:
                    self.stored([BundleName(answer.id, answer.attempt, answer.bundle_sha256)])
                    return
                ending, reason = Ending.CRASHED, "it answered without a bundle"
            if ending is Ending.NOT_STORED:
                self.away(answer.id, answer.attempt, reason)
            elif self._end(answer.id, answer.attempt, ending, reason):
                self._judge(answer.id, reason)

    def away(self, job: str, attempt: int, reason: str) -> None:
        """Note that the result of a lease can only come by way of storage now."""
        with self.batch():
            self._sql.execute(
                "UPDATE attempts SET away_since = coalesce(away_since, ?), reason = ?"
                " WHERE job = ? AND number = ? AND state = 'leased'",
                (self._clock(), reason, job, attempt),
            )

    def lose(self, job: str, attempt: int, reason: str) -> None:
        """Give up a lease: its job is queued again."""
        with self.batch():
            if self._end(job, attempt, LOST, reason):
                self._judge(job, reason)

    def stored(self, names: Iterable[BundleName]) -> list[BundleEntry]:
        """Account for bundles in storage, and return those that are new; foreign ones never are."""
        new = []
        with self.batch():
            for name in names:
                job, attempt = name.id, name.attempt
                ours, known, there = self._sql.execute(
                    "SELECT (SELECT count(*) FROM jobs WHERE id = ?1),"
                    " (SELECT count(*) FROM bundles WHERE name = ?2),"
                    " (SELECT count(*) FROM bundles WHERE job = ?1)",
                    (job, str(name)),
                ).fetchone()
                if known or not ours:
                    continue
                ended = self._end(job, attempt, Ending.DONE, "")
                new.append(BundleEntry(str(name), job, attempt, late=bool(there) or not ended))
                self._sql.execute(
                    "INSERT INTO bundles (name, job, attempt, seen_at, late)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (str(name), job, attempt, self._clock(), new[-1].late),
                )
                self._judge(job, "")
        return new

    def retry(self, job: str) -> None:
        """Queue a failed job again; how its attempts ended so far is not held against it."""
        with self.batch():
            self._sql.execute(
                "UPDATE jobs SET state = 'queued', forgiven ="
                " (SELECT max(number) FROM attempts WHERE job = id)"
                " WHERE id = ? AND state = 'failed'",
                (job,),
            )

    def see(self, nodes: Mapping[str, Mapping[str, Any]]) -> None:
        """Note that these nodes are connected now, with their labels."""
        with self.batch():
            for name, labels in nodes.items():
                self._sql.execute(
                    "INSERT INTO nodes (name, labels, seen_at) VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET labels = excluded.labels,"
                    " seen_at = excluded.seen_at",
                    (name, msgspec.json.encode(labels), self._clock()),
                )

    def drain(self, node: str, *, undo: bool = False) -> bool:
        """Give a node no further job, or jobs again; return whether it is known."""
        with self.batch():
            update = "UPDATE nodes SET drained = ? WHERE name = ?"
            return self._sql.execute(update, (not undo, node)).rowcount == 1

    def _end(self, job: str, attempt: int, state: str, reason: str) -> bool:
        """End a lease, and return whether there was one."""
        ended = self._sql.execute(
            "UPDATE attempts SET state = ?, ended_at = ?, reason = ?"
            " WHERE job = ? AND number = ? AND state = 'leased'",
            (str(state), self._clock(), reason, job, attempt),
        )
        return bool(ended.rowcount)

    def _judge(self, job: str, reason: str) -> None:
        """Set the state of a job from its attempts and bundles; a leased one stays leased."""
        (bundles,) = self._sql.execute(
            "SELECT count(*) FROM bundles WHERE job = ?", (job,)
        ).fetchone()
        states = self._sql.execute(
            "SELECT state, 'node=' || node FROM attempts WHERE job = ?1"
            " AND number > (SELECT forgiven FROM jobs WHERE id = ?1)",
            (job,),
        ).fetchall()
        crashes = [state for state, _ in states].count(Ending.CRASHED)
        refusing = {node for state, node in states if state == Ending.REFUSED}
        if any(state == LEASED for state, _ in states):
            return
        state = JobState.QUEUED
        if bundles:
            state, reason = JobState.DONE, ""
        elif crashes >= MOST_CRASHES or refusing & {*self.job(job).on}:  # its only node
            state = JobState.FAILED
        self._sql.execute(
            "UPDATE jobs SET state = ?, reason = ? WHERE id = ?", (str(state), reason, job)
        )

    # What is

    def job(self, job: str) -> Job:
        """A job as it was added. Raises KeyError."""
        for (found,) in self._sql.execute("SELECT job FROM jobs WHERE id = ?", (job,)):
            return msgspec.json.decode(found, type=Job)
        raise KeyError(job)

    def jobs(self, state: JobState | None = None) -> list[JobEntry]:
        """All jobs, or those in one state, in the order in which they were added."""
        found = self._sql.execute(
            "SELECT id, campaign, repetition, state, reason FROM jobs"
            " WHERE ?1 IS NULL OR state = ?1 ORDER BY position",
            (None if state is None else str(state),),
        )
        return [
            JobEntry(job, campaign, repetition, JobState(at), reason)
            for job, campaign, repetition, at, reason in found
        ]

    def attempts(self, *, ended: bool = True) -> list[AttemptEntry]:
        """All attempts in the order of their leases, or only those that are leases now."""
        found = self._sql.execute(
            "SELECT job, number, node, state, leased_at, away_since, ended_at, reason"
            " FROM attempts WHERE ? OR state = 'leased' ORDER BY rowid",
            (ended,),
        )
        return [AttemptEntry(*row) for row in found]

    def refusals(self) -> set[tuple[str, str]]:
        """The pairs of job and node that refused it."""
        return set(
            self._sql.execute(
                "SELECT attempts.job, node FROM attempts JOIN jobs ON attempts.job = jobs.id"
                " WHERE attempts.state = 'refused' AND number > forgiven"
            )
        )

    def resting(self) -> dict[str, float]:
        """Nodes that were not ready, and when they get jobs again."""
        found = self._sql.execute(
            "SELECT node, max(ended_at) FROM attempts"
            " WHERE state = 'not ready' AND ended_at > ? GROUP BY node",
            (self._clock() - REST_S,),
        )
        return {node: at + REST_S for node, at in found}

    def shares(self, campaign: str) -> dict[str, int]:
        """How many attempts of a campaign each node has had."""
        return dict(
            self._sql.execute(
                "SELECT node, count(*) FROM attempts JOIN jobs ON attempts.job = jobs.id"
                " WHERE campaign = ? GROUP BY node",
                (campaign,),
            )
        )

    def bundles(self) -> list[BundleEntry]:
        """All bundles that reached storage, in the order in which that was noticed."""
        found = self._sql.execute("SELECT name, job, attempt, late FROM bundles ORDER BY rowid")
        return [BundleEntry(name, job, attempt, bool(late)) for name, job, attempt, late in found]

    def nodes(self) -> list[NodeEntry]:
        """All nodes that ever joined, by name."""
        return [
            NodeEntry(name, msgspec.json.decode(labels), seen_at, bool(drained))
            for name, labels, seen_at, drained in self._sql.execute(
                "SELECT name, labels, seen_at, drained FROM nodes ORDER BY name"
            )
        ]
