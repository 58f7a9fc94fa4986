#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["tree-sitter==0.25.2", "tree-sitter-swift==0.7.4"]
# ///
r"""Holds the stubs to what they stand for, by parsing both sides; nothing is built.

Without options, only the record is checked, with the standard library alone: no stub has changed
since it was compared (``checked.json`` has a hash of each), and the bridges ask for the versions
that were compared:

    python bridges/swift/stubs/check.py

Compare, and record the result. A source is a git repository (a clone, bare or not) that has the
tag which the bridges' manifests ask for; its work tree is not read:

    uv run bridges/swift/stubs/check.py --write \
        --source argmax-oss-swift=../argmax-oss-swift --source FluidAudio=../FluidAudio

``--source NAME=FOLDER@REF`` compares another commit, to see what a new version would change.

Apple's frameworks have no public source. On a Mac, an SDK's interface is compared with a stub:

    interface=$(xcrun --show-sdk-path)/System/Library/Frameworks/Speech.framework/Modules\
    /Speech.swiftmodule/arm64e-apple-macos.swiftinterface
    uv run bridges/swift/stubs/check.py --module Speech --interface "$interface"

What a framework declares in Objective-C is in no interface: those stubs' declarations are counted,
and proved by the first build against the SDK alone. After a change to Apple's stubs, ``--write``
alone records that they are not compared.

Exit status: 0 as the source; 1 differs; 2 the request cannot be carried out.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stub_check.record import (
    APPLE,
    RECORD,
    Pin,
    RequestError,
    hashes,
    pins,
    problems_of_record,
    read_record,
    stub_files,
    today,
    write_record,
)

if TYPE_CHECKING:
    from stub_check.declarations import Module

STUBS = Path(__file__).resolve().parent
NO_SOURCE = "no public source; on a Mac: check.py --write --module NAME --interface FILE"
OBJECTIVE_C = {"AVFAudio", "CoreML", "CoreMedia"}
"""Modules that are imported from headers: what an interface of theirs lacks may be in those."""


def main(arguments: list[str] | None = None) -> int:
    """Carry out the request of the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        epilog="The docstring of this file has examples.",
    )
    parser.add_argument("--source", action="append", default=[], metavar="NAME=FOLDER[@REF]")
    parser.add_argument("--interface", type=Path, metavar="FILE.swiftinterface")
    parser.add_argument("--module", help="the module of --interface")
    parser.add_argument("--write", action="store_true", help=f"record the result in {RECORD}")
    parser.add_argument("--stubs", type=Path, default=STUBS, help="folder of the stubs")
    asked = parser.parse_args(arguments)
    try:
        if asked.source:
            return compare_sources(asked.stubs, asked.source, write=asked.write)
        if asked.interface:
            return compare_interface(asked.stubs, asked.module, asked.interface, write=asked.write)
        if asked.write:
            record = read_record(asked.stubs)
            record_apple(asked.stubs, record)
            write_record(asked.stubs, record)
        return _report(problems_of_record(asked.stubs), f"{RECORD} is true of the stubs")
    except (RequestError, OSError) as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 2


def _report(problems: list[str], sound: str) -> int:
    print("\n".join(problems) if problems else sound)
    return 1 if problems else 0


# Packages with a public source.


def compare_sources(stubs: Path, sources: list[str], *, write: bool) -> int:
    """Compare stub packages with repositories, ``NAME=FOLDER[@REF]`` each."""
    from stub_check.compare import differences

    asked, record, wrong = pins(stubs), read_record(stubs), 0
    for source in sources:
        name, _, place = source.partition("=")
        folder, _, ref = place.partition("@")
        if name not in asked or not folder:
            raise RequestError(f"--source {source}: not one of {', '.join(asked)}=FOLDER")
        if ref and write:
            raise RequestError(f"--write records what the manifests pin, not {ref}")
        pin = asked[name]
        commit = _commit(Path(folder), pin, ref)
        known = record["packages"].get(name, {})
        if not ref and known.get("version") == pin.version and known["commit"] != commit:
            raise RequestError(f"{name} {pin.version} was {known['commit']}, and is {commit} here")
        real = _archive(Path(folder), commit)
        problems, counts = _manifest_problems(stubs, name, real), dict[str, int]()
        for module in sorted(path.name for path in (stubs / name / "Sources").iterdir()):
            stub = _module(stub_files(stubs, f"{name}"), f"{name}/Sources/{module}/")
            problems += [f"{place}: cannot be parsed" for place in stub.unreadable]
            problems += map(str, differences(stub, _module(real, f"Sources/{module}/")))
            counts[module] = len(stub.declarations())
        print("\n".join(problems), end="\n" if problems else "")
        total = f"{sum(counts.values())} declarations in {', '.join(counts)}"
        print(f"{name} {ref or pin.version} ({commit[:12]}): {total}, {len(problems)} differences")
        wrong += len(problems)
        record["packages"][name] = {
            "commit": commit,
            "compared": today(),
            "declarations": counts,
            "files": hashes(stub_files(stubs, name)),
            "url": pin.url,
            "version": pin.version,
        }
    if write and not wrong:
        record_apple(stubs, record)
        write_record(stubs, record)
        print(f"recorded in {RECORD}")
    return 1 if wrong else 0


def _module(files: dict[str, bytes], prefix: str) -> Module:
    from stub_check.declarations import read_module

    return read_module({name: text for name, text in files.items() if name.startswith(prefix)})


def _git(folder: Path, *words: str) -> str:
    return _git_bytes(folder, *words).decode()


def _git_bytes(folder: Path, *words: str) -> bytes:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)
    if done.returncode:
        raise RequestError(f"{folder}: git {words[0]}: {done.stderr.decode().strip()}")
    return done.stdout


def _commit(folder: Path, pin: Pin, ref: str) -> str:
    """The commit of ``ref``, or of the tag that SwiftPM takes for a version, with or without v."""
    if ref:
        return _git(folder, "rev-parse", "--verify", f"{ref}^{{commit}}").strip()
    tags = [f"refs/tags/{pin.version}", f"refs/tags/v{pin.version}"]
    names = "%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
    found = _git(folder, "for-each-ref", f"--format={names}", *tags).split()
    if not found:
        raise RequestError(f"{folder} has no tag {pin.version}: git -C {folder} fetch --tags")
    return found[0]


def _archive(folder: Path, commit: str) -> dict[str, bytes]:
    """The Swift files of a commit: path → content."""
    packed = _git_bytes(folder, "archive", "--format=tar", commit)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = [each for each in archive if each.isfile() and each.name.endswith(".swift")]
        return {each.name: (archive.extractfile(each) or io.BytesIO()).read() for each in members}


def _manifest_problems(stubs: Path, package: str, real: dict[str, bytes]) -> list[str]:
    """What a bridge's manifest would not find: the package's name, its products and targets."""
    name = f"{package}/Package.swift"
    mine = (stubs / name).read_text(encoding="utf-8")
    manifests = [text.decode() for path, text in real.items() if re.match(r"Package\b[^/]*$", path)]
    if not manifests:
        return [f"{name}: the real package has no manifest"]
    problems = []
    for kind, word in re.findall(r'(Package|\.library)\(\s*name:\s*"([^"]+)"', mine):
        pattern = rf'{re.escape(kind)}\(\s*name:\s*"{re.escape(word)}"'
        if not all(re.search(pattern, text) for text in manifests):
            problems.append(f"{name}: {kind} {word} is not in every manifest of the real package")
    feature = re.compile(r'enableUpcomingFeature\(\s*"(\w+)"')
    # They decide about isolation. The real package's newest manifest has most of them.
    here, there = set(feature.findall(mine)), set(feature.findall("".join(manifests)))
    return problems + [
        f"{name}: {each} is enabled {'here' if each in here else 'in the real package'} only"
        for each in sorted(here ^ there)
    ]


# Apple's frameworks.


def compare_interface(stubs: Path, module: str | None, interface: Path, *, write: bool) -> int:
    """Compare the stub of one of Apple's modules with an SDK's interface."""
    from stub_check.compare import differences
    from stub_check.declarations import read_interface, read_module

    prefix = f"{APPLE}/Sources/{module}/"
    files = {name: text for name, text in stub_files(stubs, APPLE).items() if prefix in name}
    if not files:
        raise RequestError(f"--module {module}: there is no stub {prefix}")
    content, stub = interface.read_bytes(), read_module(files)
    found = differences(stub, read_interface(interface.name, content))
    headers = [each for each in found if each.absent and module in OBJECTIVE_C]
    wrong = [str(each) for each in found if each not in headers]
    count = len(stub.declarations())
    print("\n".join(wrong), end="\n" if wrong else "")
    print(
        f"{module}: {count} declarations, {len(wrong)} differences; {len(headers)} are not in the "
        "interface, so in Objective-C's headers if anywhere"
    )
    if write and not wrong:
        record = read_record(stubs)
        record_apple(stubs, record)
        compiler = re.search(rb"swift-compiler-version: *(.+)", content)
        record["packages"][APPLE]["modules"][module] = {
            "compared": today(),
            "compiler": compiler[1].decode() if compiler else "",
            "declarations": count - len(headers),
            "interface": hashlib.sha256(content).hexdigest(),
        }
        write_record(stubs, record)
        print(f"recorded in {RECORD}")
    return 1 if wrong else 0


def record_apple(stubs: Path, record: dict[str, Any]) -> None:
    """Renew the hashes of Apple's stubs; a module whose stub has changed is no longer compared."""
    before = record["packages"].get(APPLE, {"files": {}, "modules": {}})
    now = hashes(stub_files(stubs, APPLE))
    modules = sorted({name.split("/")[2] for name in now if name.count("/") > 2})
    record["packages"][APPLE] = {"files": now, "modules": {}}
    for module in modules:
        prefix = f"{APPLE}/Sources/{module}/"
        same = {name for name in now if name.startswith(prefix)} == {
            name
            for name, digest in before["files"].items()
            if name.startswith(prefix) and now.get(name) == digest
        }
        kept = before["modules"].get(module) if same else None
        record["packages"][APPLE]["modules"][module] = kept or {"not compared": NO_SOURCE}


if __name__ == "__main__":
    sys.exit(main())
