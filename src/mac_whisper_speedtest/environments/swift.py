"""Builds one bridge per Swift recipe from the sources that ship with the tool.

A build keeps its intermediate files in ``bridges/building`` in the cache folder, so that the next
attempt continues a killed or stopped one; they are deleted after a successful build. The program
and the files that it loads at run time are kept.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest import files
from mac_whisper_speedtest.backends import recipe as recipes
from mac_whisper_speedtest.backends.recipe import SwiftRecipe
from mac_whisper_speedtest.environments import bridges, store, toolchain
from mac_whisper_speedtest.environments.bridges import Bridge
from mac_whisper_speedtest.environments.toolchain import BuildTimeoutError, Toolchain
from mac_whisper_speedtest.errors import DownloadError, SpeedtestError, StorageError, UsageError
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.paths import with_tilde
from mac_whisper_speedtest.version import __version__

if TYPE_CHECKING:
    import psutil

BUILD_TIMEOUT_S = 45 * 60.0
"""Seconds for each step: fetching the packages, and building."""

_LAST_LINES = 6
_LEADER = "leader.json"
"""The file that identifies the process of a running build."""
# Files next to a program that it loads at run time: resources of its packages, libraries.
_BESIDE = ("*.bundle", "*.resources", "*.framework", "*.dylib", "*.so")
_ERROR = re.compile(r"\b(error|fatal):")
_FULL_DISK = re.compile(r"no space left on device|disk quota exceeded|ENOSPC", re.IGNORECASE)
_NETWORK = re.compile(
    r"could not resolve|couldn.t resolve|failed to connect|couldn.t connect|unable to access"
    r"|connection (was )?(refused|reset|timed out)|timed out|network is (down|unreachable)"
    r"|failed to clone|failed downloading|could not be established|appears to be offline",
    re.IGNORECASE,
)

Greet = Callable[[Sequence[str]], str]
"""Starts a program of the worker protocol, and returns the name it answers ``hello`` with; raises
SpeedtestError if it does not answer."""


class _StepFailedError(SpeedtestError):
    """A step of a build failed for a reason in the build itself."""


def install(
    recipe: SwiftRecipe,
    version: str = "",
    *,
    greet: Greet,
    notify: Callable[[str], None],
    progress: Callable[[str], None] = lambda _line: None,
    free_bytes: store.FreeBytes = store.free_bytes,
    timeout_s: float = BUILD_TIMEOUT_S,
) -> Bridge:
    """Build the bridge of ``recipe``, or return the existing one.

    Args:
        recipe: what to build.
        version: the recipe's version, or empty.
        greet: see `Greet`.
        notify: called with one line for every step.
        progress: called several times a second with the last line of the build.
        free_bytes: free space on the file system of a folder.
        timeout_s: of each step, in seconds.

    Raises:
        UsageError: tools are missing or too old, or it is another version.
        DownloadError: the packages could not be fetched, or are not the pinned ones.
        StorageError: the disk is too full, or the folder cannot be written.
        SpeedtestError: it could not be built, took too long, or does not work.
    """
    if version not in {"", recipe.version}:
        raise UsageError(
            f"{recipe.name} {version} cannot be built: this release of the tool pins the packages "
            f"of version {recipe.version}",
            hint=f"speedtest backends install {recipe.name}",
        )
    build = _Build(
        recipe,
        toolchain.check(recipe),
        notify=notify,
        progress=progress,
        free_bytes=free_bytes,
        timeout_s=timeout_s,
    )
    label = build.label
    with files.storage_errors(f"write {with_tilde(bridges.root())}"):
        bridges.root().mkdir(parents=True, exist_ok=True)
    waiting = f"{label} is being built by another process: waiting for it"
    with files.locked(store.lock_path(build.target), notify=lambda: notify(waiting)):
        store.delete_leftovers(bridges.root(), own=build.target)
        if made := bridges.read_bridge(build.target):
            notify(f"{label} is already installed")
            return made
        needed = int(recipe.build_bytes * store.SPARE_SHARE)
        store.check_space(bridges.root(), needed, recipe.name, free_bytes)
        shutil.rmtree(build.target, ignore_errors=True)  # an incomplete one: files were deleted
        began = time.monotonic()
        with files.storage_errors(f"write {with_tilde(build.work)}"):
            revisions = build.compile()
        with store.staged(build.target) as staging:
            made = build.keep(staging, revisions, greet)
        shutil.rmtree(build.work, ignore_errors=True)
        took = time.monotonic() - began
        notify(f"{label}: done in {took:.1f} s, {megabytes(made.size_bytes)}")
    delete_unfinished(recipe)
    return made


def delete_unfinished(recipe: SwiftRecipe) -> int:
    """Delete the files of unfinished builds of ``recipe``, and return their size in bytes.

    Builds that other processes are running are kept.
    """
    freed = 0
    for work in _building().glob(f"{recipe.name}@*"):
        with files.locked(store.lock_path(bridges.root() / work.name), wait=False) as idle:
            if idle:
                _end_orphan(work)
                freed += store.size_of(work)
                shutil.rmtree(work, ignore_errors=True)
    return freed


def _building() -> Path:
    return bridges.root() / "building"


def _end_orphan(work: Path) -> None:
    """End the build in ``work`` of a killed tool, which could not end it."""
    import psutil

    try:
        noted = files.decode_json((work / _LEADER).read_bytes(), dict[str, float])
        process = psutil.Process(int(noted["pid"]))
        if process.create_time() == noted["created"]:
            toolchain.end_session(process.pid)
    except (OSError, ValueError, KeyError, psutil.Error):
        return


class _Build:
    """One build: its folders and its steps.

    Attributes:
        label: name and version.
        target: the folder of the bridge.
        work: the folder of intermediate files: sources, SwiftPM's files, and the log.
    """

    def __init__(
        self,
        recipe: SwiftRecipe,
        tools: Toolchain,
        *,
        notify: Callable[[str], None],
        progress: Callable[[str], None],
        free_bytes: store.FreeBytes,
        timeout_s: float,
    ) -> None:
        self._recipe, self._tools, self._timeout_s = recipe, tools, timeout_s
        self._notify, self._progress, self._free_bytes = notify, progress, free_bytes
        self._sources_sha256 = bridges.sources_sha256(recipe)
        identity = [self._sources_sha256, tools.identity, recipes.this_platform()]
        self._key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        self.label = f"{recipe.name} {recipe.version}"
        name = f"{recipe.name}@{recipe.version}-{self._key[:12]}"
        self.target = bridges.root() / name
        self.work = _building() / name
        self._source, self._scratch = self.work / "src", self.work / "scratch"
        self._log, self._leader = self.work / "build.log", self.work / _LEADER

    def compile(self) -> dict[str, str]:
        """Build the program; returns the versions and commits of its packages."""
        _end_orphan(self.work)
        self._copy_sources()
        resumed = self._scratch.is_dir()
        self._notify(
            f"{self.label}: {'continuing an earlier build' if resumed else 'building'} with Swift "
            f"{self._tools.version}, which takes minutes; log: {with_tilde(self._log)}"
        )
        try:
            return self._steps()
        except _StepFailedError:
            if not resumed:
                raise
            # It may have been killed while it wrote a file.
            self._notify(f"{self.label}: that failed; building again from the start")
            shutil.rmtree(self._scratch, ignore_errors=True)
            return self._steps()

    def keep(self, staging: Path, revisions: dict[str, str], greet: Greet) -> Bridge:
        """Copy the program to ``staging``, check that it answers, and write the marker."""
        self._keep_program(staging / "bin")
        answers = greet((str(staging / "bin" / self._recipe.product),))
        if answers != self._recipe.name:
            raise SpeedtestError(
                f"{self._recipe.product} was built, but answers as {answers!r} instead of "
                f"{self._recipe.name!r}",
                hint=f"the log of the build: {with_tilde(self._log)}",
            )
        made = Bridge(
            recipe=self._recipe.name,
            version=self._recipe.version,
            key=self._key,
            sources_sha256=self._sources_sha256,
            product=self._recipe.product,
            swift=self._tools.version,
            compiler=self._tools.identity,
            platform=recipes.this_platform(),
            revisions=revisions,
            tool=__version__,
            created=datetime.now(UTC).isoformat(timespec="microseconds"),
            size_bytes=store.size_of(staging),
            path=self.target,
        )
        store.write_marker(staging, {k: value for k, value in asdict(made).items() if k != "path"})
        return made

    def _copy_sources(self) -> None:
        """Copy them once: SwiftPM writes next to manifests, and compiles every new file again."""
        if self._source.is_dir():
            return
        self.work.mkdir(parents=True, exist_ok=True)
        partial = self.work / "src.partial"
        shutil.rmtree(partial, ignore_errors=True)
        top = bridges.sources()
        for file in bridges.source_files(self._recipe, top):
            copy = partial / file.relative_to(top)
            copy.parent.mkdir(parents=True, exist_ok=True)
            _copy(file, copy)
        partial.rename(self._source)

    def _steps(self) -> dict[str, str]:
        """Fetch and build; returns the revisions of the packages."""
        self._log.write_bytes(b"")
        tree = self.work / "dependencies.json"
        self._step("package", "show-dependencies", "--format", "json", stdout=tree)
        revisions = self._check_pins(_identities(tree))
        self._step("build", "--product", self._recipe.product)
        return revisions

    def _swift(self, word: str, *arguments: str) -> list[str]:
        package = self._source / self._recipe.package
        folders = ["--package-path", str(package), "--scratch-path", str(self._scratch)]
        if word == "build":
            folders = ["-c", "release", *folders]
        return [self._tools.swift, word, *folders, *arguments]

    def _step(self, *arguments: str, stdout: Path | None = None) -> None:
        start = self._log.stat().st_size
        try:
            status = toolchain.run(
                self._swift(*arguments),
                log=self._log,
                stdout=stdout,
                timeout_s=self._timeout_s,
                progress=self._progress,
                started=self._note_leader,
            )
        except BuildTimeoutError as error:
            raise BuildTimeoutError(
                f"{self.label} was not built within {self._timeout_s / 60:.0f} minutes; the last "
                f"line was: {toolchain.last_line(self._log) or 'none'}",
                hint="the same command continues where it was; "
                f"the whole log: {with_tilde(self._log)}",
            ) from error
        self._leader.unlink(missing_ok=True)
        if status != 0:
            self._fail(arguments[0], status, toolchain.tail(self._log, start))

    def _fail(self, word: str, status: int, lines: list[str]) -> None:
        text = "\n".join(lines)
        if _FULL_DISK.search(text) or self._free_bytes(bridges.root()) < store.FULL_BYTES:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise StorageError(
                f"the disk became full while {self.label} was being built",
                hint=f"free {megabytes(self._recipe.build_bytes)} for "
                f"{with_tilde(bridges.root())}, then try again",
            )
        errors = [line for line in lines if _ERROR.search(line)] or lines
        last = " / ".join(errors[-_LAST_LINES:]) or f"swift {word} ended with status {status}"
        if word == "package" and (_NETWORK.search(text) or _unfetched(lines)):
            raise DownloadError(
                f"the packages of {self.label} could not be fetched: {last}",
                hint="check the connection to github.com, then try again",
            )
        raise _StepFailedError(
            f"{self.label} could not be built: {last}",
            hint=f"the whole log: {with_tilde(self._log)}",
        )

    def _check_pins(self, identities: set[str]) -> dict[str, str]:
        """Version and commit of every package that SwiftPM resolved.

        Raises:
            DownloadError: a pinned package is at another commit than when its version was checked.
        """
        revisions = {}
        for pin in _resolved(self._source / self._recipe.package / "Package.resolved"):
            state = pin.get("state", {})
            commit, identity = str(state.get("revision", "")), str(pin.get("identity", ""))
            expected = self._recipe.revisions.get(identity, "")
            if expected and commit != expected:
                shutil.rmtree(self._scratch, ignore_errors=True)
                raise DownloadError(
                    f"{identity} {state.get('version', '')} is at the commit {commit}, not at "
                    f"{expected}, with which this release of the tool was checked",
                    hint="the tag of that version was moved: report this to both projects",
                )
            if identity in identities:
                revisions[identity] = f"{state.get('version', '')} {commit}".strip()
        return revisions

    def _keep_program(self, target: Path) -> None:
        product = self._recipe.product
        built = self._scratch / "release"
        if not (built / product).is_file():
            command = self._swift("build", "--show-bin-path")
            built = Path(toolchain.ask(*command, missing=f"the program of {self.label} is missing"))
        if not (built / product).is_file():
            raise _StepFailedError(
                f"{self.label} was built, but there is no {product} in {with_tilde(built)}",
                hint=f"the whole log: {with_tilde(self._log)}",
            )
        target.mkdir()
        _copy(built / product, target / product)
        for each in (each for pattern in _BESIDE for each in built.glob(pattern)):
            if each.is_dir():
                shutil.copytree(each, target / each.name, symlinks=True, copy_function=_copy)
            else:
                _copy(each, target / each.name)

    def _note_leader(self, process: psutil.Process) -> None:
        text = json.dumps({"pid": process.pid, "created": process.create_time()})
        self._leader.write_text(text, encoding="utf-8")


def _copy(source: str | Path, target: str | Path) -> None:
    """Copy content and permissions, but no other attributes, such as a file's origin."""
    Path(target).write_bytes(Path(source).read_bytes())
    Path(target).chmod(Path(source).stat().st_mode & 0o777)


def _unfetched(lines: list[str]) -> set[str]:
    """The addresses that SwiftPM began to fetch and did not finish.

    If it could not fetch a package, its last message names the folder of the missing copy, not the
    network.
    """
    begun, done = (
        {line.split()[1] for line in lines if re.match(rf"{word} \S+", line)}
        for word in ("Fetching", "Fetched")
    )
    return begun - done


def _identities(tree: Path) -> set[str]:
    """The identities of all packages in the output of ``swift package show-dependencies``."""
    try:
        found = files.decode_json(tree.read_bytes(), dict[str, Any])
    except (OSError, ValueError):
        return set()
    waiting, identities = [found], set()
    while waiting:
        package = waiting.pop()
        identities.add(str(package.get("identity", "")))
        waiting += package.get("dependencies", [])
    return identities


def _resolved(file: Path) -> list[dict[str, Any]]:
    """The pins in a ``Package.resolved``; empty if every package is local."""
    try:
        return list(files.decode_json(file.read_bytes(), dict[str, Any]).get("pins", []))
    except (OSError, ValueError):
        return []
