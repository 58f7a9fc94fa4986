"""The house's layers: a room imports only what docs/architecture.md allows it to."""

from __future__ import annotations

import ast
from pathlib import Path

import mac_whisper_speedtest

ROOT = Path(mac_whisper_speedtest.__file__).parent
FOUNDATION = {
    "declared",
    "version",
    "errors",
    "paths",
    "files",
    "privacy",
    "interrupts",
    "wheels",
    "download",
    "refusals",
    "",
}
ALLOWED = {
    "api": {"report", "leaderboard", "compare", "timeline", "export", "run", "machine"}
    | {"summary", "results", "audio", "backends"},
    "leaderboard": {"report", "compare", "bundle", "export", "summary", "results", "stats"}
    | {"accuracy", "backends"},
    "report": {"compare", "results", "stats", "accuracy"},
    "compare": {
        "bundle",
        "store",
        "summary",
        "machine",
        "results",
        "stats",
        "accuracy",
        "backends",
    },
    "timeline": {"results"},
    "export": {"results"},
    "bundle": {"store", "summary", "results"},
    "store": {"summary", "results"},
    "run": {"weights", "summary", "worker", "machine", "results", "environments", "audio"}
    | {"stats", "accuracy", "backends", "catalog"},
    "summary": {"machine", "results", "stats", "accuracy", "backends"},
    "doctor": {"weights", "worker", "machine", "environments", "backends"},
    "weights": {"worker", "machine", "environments", "convert", "backends", "catalog"},
    "machine": {"results"},
    "results": {"backends"},
    "worker": {"environments", "audio", "backends"},
    "environments": {"backends"},
    "convert": set(),
    "backends": {"catalog"},
    "catalog": set(),
    "audio": set(),
    "accuracy": {"stats"},
    "stats": set(),
}
ALLOWED["cli"] = set(ALLOWED) - {"cli"}
WORKER_SIDE = [
    "worker/bootstrap.py", "worker/child.py", "worker/protocol.py", "backends/adapter.py",
    "backends/backend.py", "backends/contract.py", "backends/faster_whisper.py",
    "backends/whisper_cpp.py", "backends/mlx_whisper.py", "catalog/__init__.py", "errors.py",
    "backends/torch_device.py", "backends/openai_whisper.py",
    "backends/insanely_fast_whisper.py", "backends/whisperx.py",
    "backends/mlx_runtime.py", "backends/lightning_whisper_mlx.py",
    "backends/whisper_mps.py", "backends/parakeet_mlx.py",
]  # fmt: skip
BACKEND_LIBRARIES = {
    "ctranslate2", "faster_whisper", "pywhispercpp", "_pywhispercpp", "mlx", "mlx_whisper", "numpy",
    "torch", "whisper", "transformers", "whisperx",
    "lightning_whisper_mlx", "whisper_mps", "parakeet_mlx",
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            found.add(module)
            if module == "mac_whisper_speedtest":
                found |= {f"{module}.{name.name}" for name in node.names}
    return found


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_every_room_imports_only_the_rooms_it_may() -> None:
    wrong = []
    for path in ROOT.rglob("*.py"):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for module in imports(path):
            if not module.startswith("mac_whisper_speedtest"):
                continue
            other = room(module)
            if other in FOUNDATION | {own} or own in {"__init__", "__main__"}:
                continue
            if other not in ALLOWED.get(own, set()):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_the_worker_side_needs_only_the_standard_library_numpy_and_its_backend() -> None:
    import sys

    wrong = []
    for name in WORKER_SIDE:
        for module in imports(ROOT / name):
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names | BACKEND_LIBRARIES | {"mac_whisper_speedtest"}:
                wrong.append(f"{name} imports {module}")
    assert wrong == []


def test_no_file_has_outgrown_480_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in ROOT.rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 480
    }
    assert long == {}
