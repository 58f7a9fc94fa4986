"""The decode contract: the definition of equal work, and a backend's deviations from it.

Imports the standard library only, because the worker side runs inside backend environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace

SettingValue = str | int | float | bool | list[float] | None
"""A contract setting, as in JSON.

In a contract ``None`` means "the library's default"; in a backend's report, "unknown"; and in its
declaration, "no such setting".
"""

OWN_LANGUAGE = "mul"
"""The language of a contract for recordings in several languages (ISO 639-2's code for them). The
request to a backend always has the recording's own language."""

ESSENTIAL = ("language", "task", "beam_size")
"""Settings that define the task: a backend that cannot meet one of these is not run."""


@dataclass(frozen=True, slots=True)
class DecodeContract:
    """The settings that every backend is requested to decode with. The defaults are ``greedy``.

    ``None`` leaves a setting to the library.

    Attributes:
        name: of the contract; not a setting itself.
        language: ISO 639-1 code, given because detecting it costs an extra encoder pass; of a set
            in several languages ``mul``: each recording's own.
        task: ``transcribe`` (``translate`` is other work).
        beam_size: 1 is greedy search; not every backend has more.
        best_of: candidates sampled per window; only matters above temperature 0.
        temperatures: used in turn after failures; one entry means no fallback.
        condition_on_previous_text: feed the last window's text to the next one.
        vad: drop silence, as found by a voice-activity detector, before decoding.
        timestamps: predict segment times; they change both the work and the words.
        window: how audio beyond 30 s is divided. ``sequential-30s``: the next window begins
            where the last segment ended; ``fixed-30s``: every 30 s; ``chunked-30s``: overlapping
            chunks of 30 s, merged by their words; ``vad-chunks``: stretches of speech of up to
            30 s; ``whole``: all of it at once; ``progressive``: not known, in smaller pieces than
            for final results.
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

    def for_recording(self, language: str | None) -> DecodeContract:
        """The contract for a recording in ``language``."""
        return replace(self, language=language) if self.language == OWN_LANGUAGE else self

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
``as-shipped`` leaves every setting to the library."""


@dataclass(frozen=True, slots=True)
class EffectiveSettings:
    """The settings of a transcription, as the backend reports them.

    Attributes:
        values: setting name → value, the names of :class:`DecodeContract`.
        observed: the settings read back from the library after the call. The others were passed to
            it, or are fixed in it.
        remarks: differences that no setting expresses, such as how the last window is padded.
    """

    values: Mapping[str, SettingValue]
    observed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deviation:
    """A setting whose effective value differs from the contract."""

    setting: str
    requested: SettingValue
    effective: SettingValue


def deviations(contract: DecodeContract, effective: Mapping[str, SettingValue]) -> list[Deviation]:
    """Every setting whose effective value differs from the contract's, in the contract's order.

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
    """The expected settings of a backend's decoding when ``contract`` is requested.

    Args:
        contract: the request.
        fixed: the settings that the backend cannot change.
        shipped: the library's defaults; a missing setting is as in ``greedy``.
    """
    defaults = {**DecodeContract().settings(), **shipped}
    return {
        name: fixed.get(name, defaults[name] if requested is None else requested)
        for name, requested in contract.settings().items()
    }
