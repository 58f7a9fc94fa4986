"""The decode contract: what "equal work" means, and where a backend did not do it.

Imports the standard library only, because the worker side runs inside backend environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

SettingValue = str | int | float | bool | list[float] | None
"""A contract setting as it travels in JSON; ``None`` means "this backend cannot say"."""


@dataclass(frozen=True, slots=True)
class DecodeContract:
    """The settings every backend is asked to decode with. The defaults are ``greedy``.

    Attributes:
        name: what people call this contract.
        language: ISO 639-1 code, always given, because detecting it costs an extra encoder pass.
        task: ``transcribe`` (``translate`` is other work).
        beam_size: 1 is greedy search; not every backend has more.
        best_of: candidates sampled per window; only matters above temperature 0.
        temperatures: the ladder tried in turn; one entry means no fallback.
        condition_on_previous_text: feed the last window's text to the next one.
        vad: drop what a voice-activity detector calls silence before decoding.
        timestamps: predict segment times; they change both the work and the words.
        window: how audio beyond 30 s is walked through.
        batch_size: windows decoded at once.
    """

    name: str = "greedy"
    language: str = "en"
    task: str = "transcribe"
    beam_size: int = 1
    best_of: int = 1
    temperatures: list[float] = field(default_factory=lambda: [0.0])
    condition_on_previous_text: bool = False
    vad: bool = False
    timestamps: bool = True
    window: str = "sequential-30s"
    batch_size: int = 1

    def settings(self) -> dict[str, SettingValue]:
        """Every setting but the name, by field name."""
        values = asdict(self)
        del values["name"]
        return values


@dataclass(frozen=True, slots=True)
class Effective:
    """What a backend says it really decoded with.

    Attributes:
        values: setting name → value, the names of :class:`DecodeContract`.
        observed: the settings read back from the library after the call. The others are only
            what the adapter passed in or knows of the library.
        remarks: differences that no setting expresses, such as how the last window is padded.
    """

    values: Mapping[str, SettingValue]
    observed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deviation:
    """One setting in which a backend did other work than the contract asks for."""

    setting: str
    requested: SettingValue
    effective: SettingValue


def deviations(contract: DecodeContract, effective: Mapping[str, SettingValue]) -> list[Deviation]:
    """Every setting whose effective value is not the contract's, in the contract's order.

    A setting that the backend does not report counts as a deviation: unknown is not equal.
    """
    return [
        Deviation(name, requested, effective.get(name))
        for name, requested in contract.settings().items()
        if effective.get(name) != requested
    ]


SETTING_NAMES = tuple(f.name for f in fields(DecodeContract) if f.name != "name")
