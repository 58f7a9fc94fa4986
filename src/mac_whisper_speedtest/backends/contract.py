"""The decode contract: what "equal work" means, and where a backend did not do it.

Imports the standard library only, because the worker side runs inside backend environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

SettingValue = str | int | float | bool | list[float] | None
"""A contract setting as it travels in JSON.

In a contract ``None`` means "what the library does by itself"; in what a backend reports it means
"cannot say", and in what it declares, "no such setting here".
"""

ESSENTIAL = ("language", "task", "beam_size")
"""Settings without which it would be another job: who cannot keep one of these is not run."""


@dataclass(frozen=True, slots=True)
class DecodeContract:
    """The settings every backend is asked to decode with. The defaults are ``greedy``.

    ``None`` leaves a setting to the library.

    Attributes:
        name: what people call this contract.
        language: ISO 639-1 code, given because detecting it costs an extra encoder pass.
        task: ``transcribe`` (``translate`` is other work).
        beam_size: 1 is greedy search; not every backend has more.
        best_of: candidates sampled per window; only matters above temperature 0.
        temperatures: the ladder tried in turn; one entry means no fallback.
        condition_on_previous_text: feed the last window's text to the next one.
        vad: drop what a voice-activity detector calls silence before decoding.
        timestamps: predict segment times; they change both the work and the words.
        window: how audio beyond 30 s is walked through. ``sequential-30s``: the next window begins
            where the last segment ended; ``fixed-30s``: every 30 s; ``chunked-30s``: overlapping
            chunks of 30 s, merged by their words; ``vad-chunks``: stretches of speech of up to
            30 s; ``whole``: all of it at once.
        batch_size: windows decoded at once.
    """

    name: str = "greedy"
    language: str | None = "en"
    task: str | None = "transcribe"
    beam_size: int | None = 1
    best_of: int | None = 1
    temperatures: list[float] | None = field(default_factory=lambda: [0.0])
    condition_on_previous_text: bool | None = False
    vad: bool | None = False
    timestamps: bool | None = True
    window: str | None = "sequential-30s"
    batch_size: int | None = 1

    def settings(self) -> dict[str, SettingValue]:
        """Every setting but the name, by field name."""
        values = asdict(self)
        del values["name"]
        return values


SETTING_NAMES = tuple(f.name for f in fields(DecodeContract) if f.name != "name")

CONTRACTS: Mapping[str, DecodeContract] = {
    each.name: each
    for each in (
        DecodeContract(),
        DecodeContract(name="beam5", beam_size=5),
        DecodeContract("as-shipped", **dict.fromkeys(SETTING_NAMES)),
    )
}
"""``greedy`` is comparable across all backends; ``beam5`` across those with beam search;
``as-shipped`` is what each library does when it is told nothing but the audio."""


@dataclass(frozen=True, slots=True)
class EffectiveSettings:
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

    A setting that the backend does not report counts as a deviation: unknown is not equal. One that
    the contract leaves to the library cannot deviate.
    """
    return [
        Deviation(name, requested, effective.get(name))
        for name, requested in contract.settings().items()
        if requested is not None and effective.get(name) != requested
    ]


def declared(
    contract: DecodeContract,
    *,
    fixed: Mapping[str, SettingValue],
    shipped: Mapping[str, SettingValue],
) -> dict[str, SettingValue]:
    """What a backend is expected to decode with when asked for ``contract``.

    Args:
        contract: what is asked for.
        fixed: the settings the backend has no choice in.
        shipped: what its library does when not told; a missing setting is that of ``greedy``.
    """
    defaults = {**DecodeContract().settings(), **shipped}
    return {
        name: fixed.get(name, defaults[name] if requested is None else requested)
        for name, requested in contract.settings().items()
    }
