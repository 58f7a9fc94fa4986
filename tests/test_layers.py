"""The house's layers: a room imports only what docs/explanation/architecture.md allows it to."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from functools import cache
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

import mac_whisper_speedtest

ROOT = Path(mac_whisper_speedtest.__file__).parent
PACKAGE = ROOT.name
PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "architecture.md"
FILES = sorted(ROOT.rglob("*.py"))
READERS = {"store", "bundle", "compare", "leaderboard", "timeline", "export", "report", "summary"}
WORKER_SIDE = [
    "worker/bootstrap.py", "worker/child.py", "worker/protocol.py", "backends/adapter.py",
    "backends/backend.py", "backends/contract.py", "backends/faster_whisper.py",
    "backends/whisper_cpp.py", "backends/mlx_whisper.py", "catalog/__init__.py", "errors.py",
    "backends/torch_device.py", "backends/openai_whisper.py",
    "backends/insanely_fast_whisper.py", "backends/whisperx.py",
    "backends/whisper_cpp_native.py", "backends/crispasr.py", "backends/crispasr_native.py",
    "backends/mlx_runtime.py", "backends/mlx_audio.py", "backends/sherpa_onnx.py",
    "backends/lightning_whisper_mlx.py",
    "backends/whisper_mps.py", "backends/parakeet_mlx.py", "selfcheck/known_work.py",
]  # fmt: skip
BACKEND_LIBRARIES = {
    "ctranslate2", "faster_whisper", "pywhispercpp", "_pywhispercpp", "mlx", "mlx_whisper", "numpy",
    "torch", "whisper", "transformers", "whisperx",
    "crispasr", "mlx_audio", "sherpa_onnx", "lightning_whisper_mlx", "whisper_mps", "parakeet_mlx",
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions; not those for type checkers."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    types_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in chain.from_iterable(map(ast.walk, node.body))
    }
    for node in ast.walk(tree):
        if id(node) in types_only:
            continue
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))


MODULES = {module(path) for path in FILES}


@cache
def own_imports(path: Path) -> set[str]:
    """The modules of this package that a file imports, by their full names."""
    found = set()
    for imported in imports(path):
        parts = imported.split(".")
        names = (".".join(parts[:length]) for length in range(len(parts), 1, -1))
        found.add(next((name for name in names if name in MODULES), ""))
    return found - {"", module(path)}


def room(name: str) -> str:
    return name.split(".")[1]


def allowed() -> dict[str, set[str]]:
    """The table of rooms in the documentation."""
    rows = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    return {
        row[1].strip(" `"): set(row[3].replace(",", " ").split()) - {"–"}
        for row in rows
        if len(row) == 5 and row[1].startswith(" `")
    }


def test_every_room_imports_only_the_rooms_that_the_documentation_allows() -> None:
    table = allowed()
    rooms = {each.parent.name for each in ROOT.glob("*/__init__.py")} | {
        "api",
        "reference",
        "request",
    }
    assert table.keys() == rooms
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in FILES
        for name in own_imports(path)
        if (own := path.relative_to(ROOT).parts[0].removesuffix(".py")) != "__main__"
        and room(name) in rooms
        and room(name) != own
        and room(name) not in table.get(own, set())
    ]
    assert wrong == []


def test_the_table_of_rooms_allows_no_circle_and_nothing_that_is_not_used() -> None:
    table = allowed()
    TopologicalSorter(table).prepare()
    used: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        used[own] |= {room(name) for name in own_imports(path)}
    assert {own: rooms - used[own] for own, rooms in table.items() if rooms - used[own]} == {}


def test_no_files_import_each_other_in_a_circle() -> None:
    TopologicalSorter({module(path): own_imports(path) for path in FILES}).prepare()


@pytest.mark.parametrize("reader", sorted(READERS))
def test_what_reads_results_never_reaches_the_runner(reader: str) -> None:
    """Not even through somebody else: what is reachable is followed to its end."""
    graph = {module(path): own_imports(path) for path in FILES}
    seen: set[str] = set()
    ahead = [name for name in graph if room(f"{name}.") == reader]
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead += graph[name]
    assert [name for name in seen if room(f"{name}.") == "run"] == []


def test_class_names_are_unique() -> None:
    where = defaultdict(list)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                where[node.name].append(module(path))
    assert {name: places for name, places in where.items() if len(places) > 1} == {}


def test_the_worker_side_needs_only_the_standard_library_numpy_and_its_backend() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name in WORKER_SIDE
        for imported in imports(ROOT / name)
        if imported.partition(".")[0] not in sys.stdlib_module_names | BACKEND_LIBRARIES | {PACKAGE}
    ]
    assert wrong == []


def test_no_file_has_outgrown_450_lines() -> None:
    long = {
        module(path): count
        for path in FILES
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert long == {}
