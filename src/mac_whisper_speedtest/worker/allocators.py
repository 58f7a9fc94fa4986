"""What the frameworks' own allocators have held, asked inside the worker after a call.

Standard library only. Nothing is imported here: a framework that the backend has not imported has
allocated nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any


def peaks() -> dict[str, int]:
    """Bytes by figure, of the frameworks that are in use; empty if none is.

    ``mlx_peak_bytes`` is the highest since the start or `reset`, of the whole process;
    ``mlx_active_bytes`` and ``mlx_cache_bytes`` are now. ``torch_cuda_peak_bytes`` and
    ``torch_cuda_reserved_peak_bytes`` are torch's own allocator's, over all GPUs.
    ``torch_mps_driver_bytes`` and ``torch_mps_current_bytes`` are now: Metal's allocator in torch
    keeps no peak, and the first is what it has reserved, which is more than what is used.

    Call it after the device was waited for. Never raises; what cannot be asked is left out.
    """
    found: dict[str, int] = {}
    for name, ask in _questions():
        value = _answer(ask)
        if isinstance(value, int | float):
            found[name] = int(value)
    return found


def reset() -> None:
    """Begin anew with the peaks that can be begun anew. Never raises."""
    mlx, torch = _imported()
    if mlx is not None:
        _answer(lambda: _mlx(mlx, "reset_peak_memory"))
    if torch is not None and _cuda_in_use(torch):
        _answer(lambda: _on_all_gpus(torch, "reset_peak_memory_stats"))


def _imported() -> tuple[Any, Any]:
    """MLX's core and torch, as far as the backend has imported them."""
    return sys.modules.get("mlx.core"), sys.modules.get("torch")


def _questions() -> Iterator[tuple[str, Callable[[], Any]]]:
    mlx, torch = _imported()
    if mlx is not None:
        yield "mlx_peak_bytes", lambda: _mlx(mlx, "get_peak_memory")
        yield "mlx_active_bytes", lambda: _mlx(mlx, "get_active_memory")
        yield "mlx_cache_bytes", lambda: _mlx(mlx, "get_cache_memory")
    if torch is None:
        return
    if _cuda_in_use(torch):
        yield "torch_cuda_peak_bytes", lambda: sum(_on_all_gpus(torch, "max_memory_allocated"))
        yield (
            "torch_cuda_reserved_peak_bytes",
            lambda: sum(_on_all_gpus(torch, "max_memory_reserved")),
        )
    if _answer(lambda: _ask(torch, "backends.mps.is_available")):
        yield "torch_mps_driver_bytes", lambda: _ask(torch, "mps.driver_allocated_memory")
        yield "torch_mps_current_bytes", lambda: _ask(torch, "mps.current_allocated_memory")


def _cuda_in_use(torch: Any) -> bool:
    """Asking for memory would set CUDA up where the backend has not."""
    return bool(_answer(lambda: _ask(torch, "cuda.is_initialized")))


def _on_all_gpus(torch: Any, name: str) -> list[Any]:
    ask = attrgetter(f"cuda.{name}")(torch)
    return [ask(device) for device in range(torch.cuda.device_count())]


def _mlx(mlx: Any, name: str) -> Any:
    """Call a function of MLX; releases of early 2025 and before have it under ``metal`` only."""
    return _ask(mlx, name if hasattr(mlx, name) else f"metal.{name}")


def _ask(module: Any, path: str) -> Any:
    return attrgetter(path)(module)()


def _answer(ask: Callable[[], Any]) -> Any:
    """What ``ask`` returns; ``None`` if this release of the framework cannot say."""
    try:
        return ask()
    except Exception:  # noqa: BLE001 - whatever a framework raises, it costs one figure
        return None
