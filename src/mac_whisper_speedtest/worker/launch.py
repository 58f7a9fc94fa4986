"""How a backend is started: its program, its arguments and its environment variables."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from mac_whisper_speedtest import privacy
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.recipe import AnyRecipe, SwiftRecipe, unsuited
from mac_whisper_speedtest.environments import bridges, environments, installations
from mac_whisper_speedtest.worker.offline import OFFLINE

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")

PASSED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
        *("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "NIX_LD", "NIX_LD_LIBRARY_PATH"),
        *("GLIBC_TUNABLES", "CONDA_PREFIX", "VIRTUAL_ENV"),
        *("TOKENIZERS_PARALLELISM", "DEVELOPER_DIR", "SDKROOT"),
    }
)
PASSED_PREFIXES = (
    *("LC_", "PYTHON", "DYLD_", "MALLOC_"),
    # Threads, and libraries of linear algebra.
    *("OMP_", "KMP_", "GOMP_", "RAYON_", "TBB_"),
    *("MKL_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_", "DNNL_", "ONEDNN_"),
    # Accelerators and their libraries.
    *("CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "HIP_", "HSA_", "ROCR_", "ROCM_", "ROCBLAS_"),
    *("ONEAPI_", "SYCL_", "ZE_", "VK_", "METAL_", "MTL_", "MLX_"),
    # Engines.
    *("GGML_", "WHISPER_", "CT2_", "ORT_", "PYTORCH_", "TORCH_", "TORCHINDUCTOR_", "TRITON_"),
)
"""The tool's variables that workers inherit: they locate programs, libraries and caches, set the
language, or tune computing. An engine needs no others, such as tokens, to transcribe; a backend's
description can name more."""


THREAD_VARIABLES = ("OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Set to the number of threads for every worker: OpenMP and OpenBLAS, and Accelerate, which
CTranslate2, ggml, MLX and numpy use on macOS."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything needed to start one worker process.

    ``versions`` are facts about the program that it will not report itself: the packages
    that a bridge was built with.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    cwd: Path
    mark: str
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def thread_variables(self) -> dict[str, str]:
        """The variables that limit the threads of libraries: the tool's and the user's."""
        return {
            name: value
            for name, value in sorted(self.environment.items())
            if name.endswith("_THREADS")
        }


def is_installed(backend: Backend) -> bool:
    """Whether ``backend`` can be started here."""
    return not backend.broken and program(backend) is not None


def program(backend: Backend) -> str | None:
    """The program that runs ``backend``, or ``None`` when it is not installed.

    In this order: its command; the Python in its description; this Python, if it can import the
    library in the requested version; the installation of its recipe in that version, a Python or a
    bridge. A backend that requests its managed environment runs only there.
    """
    if backend.command:
        return backend.command[0]
    if backend.python:
        return backend.python
    if runs_in_place(backend):
        return sys.executable
    recipe = backend.recipe
    if recipe is None:
        return None
    return installations.program(recipe, requested_version(backend, recipe))


def command(backend: Backend) -> tuple[str, ...] | None:
    """The argument vector that starts ``backend``, or ``None`` when it is not installed."""
    if backend.command:
        return backend.command
    found = program(backend)
    if found is None:
        return None
    if backend.adapter:
        return (found, "-P", str(_BOOTSTRAP), backend.adapter, *backend.search_path)
    return (found, *backend.arguments)


def requested_version(backend: Backend, recipe: AnyRecipe) -> str:
    """The version of its recipe that ``backend`` requests."""
    return backend.version or installations.default_version(recipe)


def runs_in_place(backend: Backend) -> bool:
    """Whether ``backend`` runs in the tool's own environment."""
    if backend.managed or not backend.adapter or not backend.importable_here():
        return False
    if not backend.version:
        return True
    return backend.recipe is not None and installed_version(backend.recipe) == backend.version


def not_installed(backend: Backend) -> str:
    """Why :func:`program` returned ``None``, and the command to type."""
    recipe = backend.recipe
    if recipe is None:
        if backend.managed:
            return "not installed — the tool has no recipe to create an environment for it"
        return f"not installed — {backend.import_name} cannot be imported; install it by hand"
    if why := unsuited(recipe):
        return f"not for this machine: {why}"
    if isinstance(recipe, SwiftRecipe) and backend.version not in {"", recipe.version}:
        return f"not available: this release of the tool supports {recipe.name} {recipe.version}"
    version = f"@{backend.version}" if backend.version else ""
    return f"not installed — speedtest backends install {backend.name}{version}"


def installed_version(recipe: AnyRecipe) -> str:
    """The version of the recipe's distribution in the tool's environment; empty if absent."""
    if isinstance(recipe, SwiftRecipe):
        return ""  # a program
    try:
        return metadata.version(recipe.distribution)
    except metadata.PackageNotFoundError:
        return ""


def passed_variables(named: Collection[str] = ()) -> dict[str, str]:
    """The tool's variables that every worker inherits, and the ones in ``named``."""

    def is_passed(name: str, value: str) -> bool:
        known = name in PASSED or name.startswith(PASSED_PREFIXES)
        return known and not privacy.holds_secret(name, value)

    return {
        name: value for name, value in os.environ.items() if name in named or is_passed(name, value)
    }


def launch(backend: Backend, *, scratch: Path, threads: int) -> Launch | None:
    """How to start a worker for ``backend``, or ``None`` when it is not installed.

    Args:
        backend: what to run.
        scratch: an empty folder: the worker's current directory and temporary folder, so that
            files a backend leaves there are removed after the worker.
        threads: for OpenMP and BLAS libraries; the adapter gets its own number with ``load``.
    """
    environment = passed_variables(backend.variables)
    argv = command(backend)
    if argv is None:
        return None
    if backend.adapter and (folder := environments.bytecode_of(argv[0])):
        # With PYTHONDONTWRITEBYTECODE, as in many containers, every worker would compile its
        # modules again: transformers would take 20 s instead of 8 s on two slow cores.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(folder)
    # Imported here because they import psutil, and `is_installed` must be cheap.
    from mac_whisper_speedtest.worker import process_tree
    from mac_whisper_speedtest.worker.ownership import MARK, new_mark

    process_tree.adopt_orphans()
    mark = new_mark()
    environment |= {
        **OFFLINE,
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        "TMPDIR": str(scratch),
        MARK: mark,
    }
    environment |= backend.environment
    return Launch(
        argv=argv,
        environment=environment,
        cwd=Path(backend.cwd) if backend.cwd else scratch,
        mark=mark,
        versions=bridges.revisions_of(argv[0]),
    )
