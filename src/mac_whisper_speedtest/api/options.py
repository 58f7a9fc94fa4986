"""What is asked for in Python values, and the request that comes of it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

from mac_whisper_speedtest.audio.select import Choice
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.machine import describe
from mac_whisper_speedtest.results import tags
from mac_whisper_speedtest.run import plan


class Options(TypedDict, total=False):
    """The options of ``speedtest run`` beside the model, the backends and the speech.

    Shares are fractions, times are seconds and sizes are bytes. What is left out is as on the
    command line.

    Attributes:
        contract: the name of a contract.
        rounds: fresh processes per cell.
        runs: timed passes per process.
        budget_s: ``--budget``.
        target_width: ``--precision``: how narrow every interval shall become.
        max_rounds: ``--max-rounds``.
        margin: ``--margin``.
        reference_backend: ``--reference``.
        seed: ``--seed``.
        threads: ``--threads``.
        device: ``--device``.
        compute_type: ``--compute-type``.
        affinity: numbers of processors.
        nice: ``--nice``.
        ladder: ``--ladder``.
        repeat: ``--repeat/--no-repeat``.
        managed: ``--managed``.
        max_time_s: ``--max-time``.
        max_memory_bytes: ``--max-memory``.
        timeout_s: ``--timeout``.
        retries: ``--retries``.
        repair: ``--repair``.
        fail_fast: ``--fail-fast``.
        max_failures: ``--max-failures``.
        strict: ``--strict``.
        tags: ``--tag``.
    """

    contract: str
    rounds: int
    runs: int
    budget_s: float
    target_width: float
    max_rounds: int
    margin: float
    reference_backend: str
    seed: int
    threads: int
    device: str
    compute_type: str
    affinity: Sequence[int]
    nice: int
    ladder: bool
    repeat: bool
    managed: bool
    max_time_s: float
    max_memory_bytes: int
    timeout_s: float
    retries: int
    repair: bool
    fail_fast: bool
    max_failures: int
    strict: bool
    tags: Sequence[str]


_RENAMED = {"compute_type": "precision", "max_memory_bytes": "max_memory"}
_OWN = {"contract", "managed", "affinity", "tags", "threads"}
"""Options that are not handed to ``plan.Request`` as they are."""

_LEAST = {"rounds": 1, "runs": 1, "max_rounds": 1, "threads": 1, "retries": 0, "max_failures": 0}
_ABOVE_ZERO = ("budget_s", "max_time_s", "timeout_s", "max_memory_bytes", "mic_seconds")
_SHARES = ("margin", "target_width")


def request(models: Any, backends: Any, speech: Choice, options: Options) -> plan.Request:
    """The request, as the command line would build it from the same wishes.

    Args:
        models: one name or several.
        backends: likewise; names or paths of ``.toml`` files.
        speech: what to measure on.
        options: everything else.

    Raises:
        TypeError: an option that does not exist.
        UsageError: a value that no run can be made with.
    """
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        raise TypeError(f"run() has no option {', '.join(sorted(unknown))}")
    check_numbers({**options, "mic_seconds": speech.mic_seconds})
    named = [str(each) for each in _several(backends)]
    managed = options.get("managed", False)
    given: dict[str, Any] = {
        _RENAMED.get(name, name): value for name, value in options.items() if name not in _OWN
    }
    return plan.Request(
        models=tuple(dict.fromkeys(str(each) for each in _several(models))),
        backends=tuple(
            replace(each, managed=each.managed or managed)
            for each in registry.select(named, registry.installed())
        ),
        explicit=bool(named),
        speech=replace(speech, seed=options.get("seed", 0)),
        threads=options.get("threads") or describe.default_threads(),
        affinity=tuple(options.get("affinity", ())) or None,
        contract=_contract(options.get("contract", "greedy")),
        tags=tuple(dict.fromkeys(map(tags.check, _several(options.get("tags", ()))))),
        **given,
    )


def _several(one_or_more: Any) -> list[Any]:
    return [one_or_more] if isinstance(one_or_more, str | os.PathLike) else list(one_or_more)


def _contract(name: str) -> DecodeContract:
    if name not in CONTRACTS:
        known = ", ".join(CONTRACTS)
        raise UsageError(f"there is no contract {name!r}", hint=f"say one of {known}")
    return CONTRACTS[name]


def check_numbers(values: Mapping[str, object]) -> None:
    """Refuse numbers that no run can be made with. Raises UsageError."""

    def number(name: str) -> float | None:
        value = values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"{name} is {value!r}, not a number", hint="see help(st.run)")
        return float(value)

    def wanted(names: Iterable[str], good: Callable[[str, float], bool], words: str) -> None:
        for name in names:
            value = number(name)
            if value is not None and not good(name, value):
                raise UsageError(f"{name} is {value:g}, {words}", hint="see help(st.run)")

    wanted(_LEAST, lambda name, value: value >= _LEAST[name], "which is too few")
    wanted(
        _ABOVE_ZERO,
        lambda _name, value: math.isfinite(value) and value > 0,
        "but must be a number above 0",
    )
    wanted(_SHARES, lambda _name, value: 0 < value < 1, "but must be a fraction, such as 0.02")
