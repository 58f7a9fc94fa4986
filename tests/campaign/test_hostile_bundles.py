"""Mutated bundles: refused with a reason, or taken with figures that follow from their samples.

Whatever is taken can be imported, verified, shown and put on a leaderboard; nothing is left of what
is refused; and no file takes more memory than its size allows.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.runs import given
from fakes.tampered import document, forged, lines, members
from mac_whisper_speedtest import cli
from mac_whisper_speedtest.bundle import read, write
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.leaderboard import build, intake, site
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.store import verify
from mac_whisper_speedtest.summary.summarize import summarize

MUTATIONS = 12
"""Of each seed's bundle, one after another."""
VALUES: tuple[Any, ...] = (
    *(0, -0.0, -1, 1, 1e300, 5e-324, 1.7e308, 1 << 63, 1 << 70, 10**400, 0.1, 1e-9),
    *("", "x", "\x1b[31m", "\u202e", "[link=https://x.org]x[/link]", "1[/x]", "9" * 300, "\ud800"),
    *(
        "ok",
        "failed",
        "complete",
        "running",
        "../../x",
        "a" * 100_000,
        "<script>",
        "=1+1",
        "\u200e",
    ),
    *(None, True, False, [], {}, [[]], {"": 0}, [0] * 1000, {"a": {"b": {}}}),
)


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound bundle, and a data folder without runs."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    write.write_bundle(given(tmp_path / "run", public=True), tmp_path / "x.zip")
    return tmp_path / "x.zip"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a JSON document."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    for key, inner in pairs:
        yield value, key
        yield from _places(inner)


def _mutate(rnd: random.Random, value: Any) -> None:
    """Change one thing somewhere in a JSON document."""
    owner, key = rnd.choice(list(_places(value)))
    match rnd.randrange(5):
        case 0 if isinstance(owner, dict):
            del owner[key]
        case 1 if isinstance(owner, list):
            owner.extend([owner[key]] * rnd.choice([1, 1, 500]))
        case 2 if isinstance(owner[key], int | float) and not isinstance(owner[key], bool):
            owner[key] *= rnd.choice([-1, 0, 2, 0.5, 1e6, 1e-6, 1e30])
        case 3 if isinstance(owner, dict):
            owner[str(rnd.choice(VALUES))] = owner[key]
        case _:
            owner[key] = rnd.choice(VALUES)


def _manifest(rnd: random.Random, path: Path) -> Path:
    manifest = document(path, "manifest.json")
    _mutate(rnd, manifest)
    return forged(path, {"manifest.json": json.dumps(manifest).encode(errors="replace")})


def _journal(rnd: random.Random, path: Path) -> Path:
    found = lines(path)
    number = rnd.randrange(len(found))
    match rnd.randrange(6):
        case 0:
            rnd.shuffle(found)
        case 1:
            del found[number:]
        case 2:
            found[number:number] = [found[number]] * rnd.choice([1, 50])
        case _:
            _mutate(rnd, found[number])
    text = "".join(json.dumps(line) + "\n" for line in found)
    return forged(path, {"journal.jsonl": text.encode(errors="replace")})


def _raw(rnd: random.Random, path: Path) -> Path:
    """The text of a member, not as JSON."""
    name = rnd.choice(["manifest.json", "journal.jsonl", "bundle.json"])
    data = bytearray(members(path)[name])
    for _ in range(rnd.randint(1, 4)):
        at = rnd.randrange(len(data))
        piece = rnd.choice([b"", b"{", b"[" * 2000, b'"', b"\\", b"\n", b"\xff", b"\0", b"1e999"])
        data[at : at + rnd.randrange(3)] = piece
    return forged(path, {name: bytes(data)})


def _bytes(rnd: random.Random, path: Path) -> Path:
    """The zip file itself."""
    data = bytearray(path.read_bytes())
    for _ in range(rnd.randint(1, 4)):
        data[rnd.randrange(len(data))] = rnd.randrange(256)
    changed = path.with_name("bytes.zip")
    changed.write_bytes(data[: rnd.choice([len(data), rnd.randrange(len(data))])])
    return changed


KINDS: tuple[Callable[[random.Random, Path], Path], ...] = (_manifest, _journal, _raw, _bytes)
WEIGHTS = (4, 6, 2, 1)


def _called(arguments: list[str]) -> int:
    """The exit code of the tool; a traceback is an error of the test."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        patch.setattr(sys, "argv", ["speedtest", *arguments])
        return cli.main() or 0


def test_a_mutated_bundle_is_refused_or_its_figures_are_those_of_its_samples(
    sound: Path, seed: int
) -> None:
    rnd = random.Random(seed)
    refusals: list[str] = []
    for _ in range(MUTATIONS):
        (kind,) = rnd.choices(KINDS, WEIGHTS)
        path = kind(rnd, sound)
        tracemalloc.start()
        try:
            run = read.read_bundle(path)
        except UsageError as error:
            refusals.append(error.message)
            continue
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < (64 << 20) + 200 * path.stat().st_size
        assert summarize(run) == run
        _use(path)
    assert all(each.isprintable() and len(each) < 1000 for each in refusals)
    assert directory.every() == []
    assert not list((sound.parent / "data").rglob(".import/*"))


def _use(path: Path) -> None:
    """Import a bundle that was taken, look at it in every way, and remove it again."""
    imported = read.import_verified(path)
    assert verify.verify(imported.run) == []
    name = directory.name_of(imported.run)
    for arguments in (["show", name], ["show", name, "--json"], ["results", "list"]):
        assert _called(arguments) == 0
    found = intake.read_bundles([path])
    board = build.build_leaderboard(found.accepted)
    assert site.site_files(board, found)
    assert _called(["results", "rm", name, "--yes"]) == 0
