"""A fast BLAS for MLX's Linux CPU build, whose own is the one-threaded reference implementation."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from pathlib import Path

REQUIREMENT = "faiss-cpu; sys_platform == 'linux'"
"""The smallest distribution found on PyPI that brings an OpenBLAS with the plain names that MLX
calls (19 MB to fetch): numpy's and scipy's carry a prefix, ``mkl`` takes 944 MB and is no faster.
Nothing of faiss itself is used."""

# Each needs the ones before it, and does not say where they lie.
_LIBRARIES = ("libquadmath", "libgfortran", "libgomp", "libopenblas")


def preload() -> str:
    """Make an OpenBLAS's functions global, where one is needed and there; before MLX is imported.

    The dynamic linker looks for a function among the global ones before it looks into the library
    that MLX was linked with, so MLX then calls these (ld.so(8), dlopen(3): RTLD_GLOBAL).

    Returns:
        What MLX multiplies matrices with on a CPU, for the record.
    """
    if sys.platform != "linux":
        return "Accelerate"
    try:
        library = None
        for name in _LIBRARIES:
            for path in sorted(_folder().glob(f"{name}*")):
                mode = ctypes.RTLD_GLOBAL if name == _LIBRARIES[-1] else ctypes.RTLD_LOCAL
                library = ctypes.CDLL(str(path), mode=mode)
        if library is None:
            return "reference"
        describe = library.openblas_get_config
        describe.restype = ctypes.c_char_p
        return str(describe().decode("ascii", "replace").strip())
    except (OSError, AttributeError):
        return "reference"


def _folder() -> Path:
    """Where the wheel keeps its libraries. Looking for it imports nothing."""
    spec = importlib.util.find_spec("faiss")
    if spec is None or not spec.origin:
        raise FileNotFoundError("faiss-cpu is not installed")
    return Path(spec.origin).parent.with_name("faiss_cpu.libs")
