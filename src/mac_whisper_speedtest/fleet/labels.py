"""A node's labels, as its machine reports them, and the constraints of a job on them.

A constraint is ``KEY OPERATOR VALUE`` without blanks; commas between several mean *and*:

- ``=`` and ``!=``, where a set (``backends``, ``models``, ``gpu``) has that member or has it not;
- ``=~`` with a shell pattern, such as ``chip=~M[34]*``; upper and lower case are the same;
- ``<``, ``<=``, ``>`` and ``>=`` with counts, versions and sizes.

Of a version as many parts are compared as the constraint has: 15.5 meets ``version=15`` and
``version<=15``, not ``version>15``. A size is in units of 1024 however it is written, and sizes
within a sixteenth are equal: Linux keeps some of its memory for itself, and reports 15.5 of 16 GiB.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.errors import UsageError, nearest_names
from mac_whisper_speedtest.printable import shown
from mac_whisper_speedtest.privacy import scrub

_Text = Annotated[str, msgspec.Meta(max_length=limits.LONGEST_NAME)]
_Set = Annotated[tuple[_Text, ...], msgspec.Meta(max_length=1000)]
_Reason = Annotated[str, msgspec.Meta(max_length=limits.LONGEST_MESSAGE)]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE_TOLERANCE = 1 / 16
_OPERATORS: Mapping[str, Callable[[int], bool]] = {
    "=": lambda order: order == 0,
    "!=": lambda order: order != 0,
    ">=": lambda order: order >= 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    "<": lambda order: order < 0,
}
_CONSTRAINT = re.compile(r"\s*([A-Za-z]+)\s*(=~|!=|>=|<=|=|>|<)\s*(.*?)\s*")


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a node.

    Attributes:
        known: label → its value; sizes are in bytes.
        unknown: label → why it is not known.
    """

    known: Annotated[dict[_Text, int | _Text | _Set], msgspec.Meta(max_length=limits.MOST_FACTS)]
    unknown: Annotated[dict[_Text, _Reason], msgspec.Meta(max_length=limits.MOST_FACTS)] = {}

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.known.get("node", "?"))


def decode(document: object) -> Labels:
    """Labels out of what JSON or the scheduler gave. Raises ValueError if they are none."""
    try:
        return msgspec.convert(document, Labels)
    except msgspec.ValidationError as error:
        raise ValueError(f"these are no labels of a node: {error}") from error


def _order_of_numbers(value: int, text: str) -> int:
    if not text.isdecimal():
        raise ValueError("a whole number, such as 8")
    return value - int(text)


def _order_of_sizes(value: int, text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:I?B)?", text.upper())
    if not found:
        raise ValueError("a size, such as 16G")
    size = float(found[1]) * _UNITS[found[2]]
    return 0 if abs(value - size) <= size * _SIZE_TOLERANCE else (1 if value > size else -1)


def _order_of_versions(value: str, text: str) -> int:
    if not re.fullmatch(r"\d+([.-]\d+)*", text):
        raise ValueError("a version, such as 15.5")
    asked = [int(part) for part in re.split("[.-]", text)]
    seen = [int(part) for part in re.findall(r"\d+", value)][: len(asked)]
    seen += [0] * (len(asked) - len(seen))
    return (seen > asked) - (seen < asked)


KEYS: Mapping[str, Callable[[Any, str], int] | None] = {
    "node": None,
    "chip": None,
    "cores": _order_of_numbers,
    "memory": _order_of_sizes,
    "os": None,
    "version": _order_of_versions,
    "build": None,
    "arch": None,
    "gpu": None,
    "driver": _order_of_versions,
    "backends": None,
    "models": None,
    "power": None,
    "tool": _order_of_versions,
    "python": _order_of_versions,
}
"""The labels that constraints can name, and how a value is compared with the text of a constraint:
below 0, 0 or above 0; None for names and sets of names, which have no order."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """One condition on one label."""

    key: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.key}{self.operator}{self.value}"

    def is_met(self, value: Any) -> bool:
        """Whether a label of this value meets it."""
        order = KEYS[self.key]
        if order is not None and self.operator != "=~":
            return _OPERATORS[self.operator](order(value, self.value))
        there = [str(each).lower() for each in (value if isinstance(value, tuple) else (value,))]
        asked = self.value.lower()
        if self.operator == "=~":
            return any(fnmatch.fnmatchcase(each, asked) for each in there)
        return (asked in there) == (self.operator == "=")


def parse(texts: Iterable[str]) -> tuple[Constraint, ...]:
    """The constraints in these texts, in order; all of them must be met.

    Raises:
        UsageError: one of them is no constraint on a label.
    """
    parts = (part for text in texts for part in text.split(","))
    return tuple(found for part in parts for found in _parsed(part))


def _parsed(text: str) -> Iterator[Constraint]:
    found = _CONSTRAINT.fullmatch(text)
    if not found or not found[3]:
        raise UsageError(
            f"{shown(text)} is not a constraint on a node",
            hint="write it like chip=~M[34]*, memory>=16G or os=macos>=15",
        )
    key, operator, value = found[1].lower(), found[2], found[3]
    if key not in KEYS:
        raise UsageError(
            f"{shown(text)}: nodes have no label {shown(key)}",
            hint=nearest_names(key, KEYS, listed_by="speedtest fleet status"),
        )
    inner = _CONSTRAINT.fullmatch(value) if key == "os" and operator == "=" else None
    if inner:  # os=macos>=15
        yield Constraint("os", "=", inner[1].lower())
        yield _checked("version", inner[2], inner[3], text)
        return
    yield _checked(key, operator, value, text)


def _checked(key: str, operator: str, value: str, text: str) -> Constraint:
    order = KEYS[key]
    if order is None and operator not in {"=", "!=", "=~"}:
        raise UsageError(
            f"{shown(text)}: {key} is a name and has no order",
            hint=f"write {key}=NAME or =~PATTERN",
        )
    if order is not None and operator != "=~":
        try:
            order(0 if order is not _order_of_versions else "", value)
        except ValueError as error:
            raise UsageError(f"{shown(text)}: {shown(value)} is not {error}") from error
    return Constraint(key, operator, value)


def unmet(labels: Labels, constraints: Iterable[Constraint]) -> list[str]:
    """What of the constraints a node does not meet, each in words; empty if it meets all.

    What is not known of a node meets nothing, not even ``!=``.
    """
    return [
        f"{each.key}: {_seen(labels, each.key)}; the job asks for {each}"
        for each in constraints
        if each.key not in labels.known or not each.is_met(labels.known[each.key])
    ]


def _seen(labels: Labels, key: str) -> str:
    if key not in labels.known:
        return f"not known ({labels.unknown.get(key, 'the node does not say')})"
    return value_text(key, labels.known[key])


def value_text(key: str, value: object) -> str:
    """The value of a label for people."""
    if key == "memory" and isinstance(value, int):
        return f"{value / _UNITS['G']:.3g} GiB"
    return (", ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def probe(name: str) -> Labels:
    """The labels of this machine, for a node of that name.

    Nothing in them names its owner. Takes a second, and starts programs on a Mac.
    """
    # Here, because a coordinator compares labels and reads none.
    from mac_whisper_speedtest.machine import describe, power
    from mac_whisper_speedtest.machine.reader import Reader, Unknown, attempt
    from mac_whisper_speedtest.version import __version__

    reader = Reader()
    machine = describe.describe(reader)
    supply = power.supply(reader)
    known: dict[str, Any] = {
        "node": name,
        "chip": machine.cpu and machine.cpu.removeprefix("Apple "),  # chip=~M4*
        "cores": machine.physical_cores or machine.logical_cores,
        "memory": machine.memory_bytes,
        "os": "macos" if machine.os == "Darwin" else machine.os.lower(),
        "version": machine.os_version,
        "build": machine.os_build,
        "arch": machine.architecture,
        "gpu": None if machine.gpus is None else tuple(machine.gpus),
        "driver": machine.nvidia_driver,
        "tool": __version__,
        "python": machine.python,
    }
    fields = {"chip": "cpu", "cores": "physical_cores", "memory": "memory_bytes", "gpu": "gpus"}
    fields |= {"build": "os_build", "driver": "nvidia"}
    unknown = {
        key: machine.unknown.get(fields.get(key, key), "this machine has none")
        for key, value in known.items()
        if value is None
    }
    for key, found in {
        "power": supply if isinstance(supply, Unknown) else _SUPPLIES[supply.battery],
        "backends": attempt(lambda: tuple(_backends())),
        "models": attempt(lambda: tuple(_models())),
    }.items():
        if isinstance(found, Unknown):
            unknown[key] = found.reason
        else:
            known[key] = found
    return Labels(
        known={key: _scrubbed(value) for key, value in known.items() if value is not None},
        unknown={key: scrub(reason) for key, reason in unknown.items()},
    )


_SUPPLIES = {True: "battery", False: "mains"}


def _scrubbed(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_scrubbed, value))
    return scrub(value)[: limits.LONGEST_NAME] if isinstance(value, str) else value


def _backends() -> Iterator[str]:
    """What is installed: each backend by its name, and by its name with each version."""
    from mac_whisper_speedtest.backends import registry
    from mac_whisper_speedtest.environments import installations
    from mac_whisper_speedtest.worker import launch

    for backend in registry.installed().values():
        if not launch.is_installed(backend):
            continue
        yield backend.name
        if recipe := backend.recipe:
            here = [launch.installed_version(recipe)] if launch.runs_in_place(backend) else []
            here += [each.version for each in installations.of_recipe(recipe)]
            yield from (f"{backend.name}@{each}" for each in dict.fromkeys(filter(None, here)))


def _models() -> Iterator[str]:
    """The models with a whole copy here, by names and sizes."""
    from mac_whisper_speedtest.weights import inventory
    from mac_whisper_speedtest.weights.inspect import WeightsState

    whole = (
        each.name for each in inventory.all_installed() if each.copy.state is WeightsState.COMPLETE
    )
    yield from dict.fromkeys(whole)
