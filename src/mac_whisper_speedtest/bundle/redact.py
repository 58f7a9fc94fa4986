"""Applies the allow-list to a run's manifest and journal before they are shared. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from mac_whisper_speedtest.bundle.fields import DETAILS, POLICIES
from mac_whisper_speedtest.declared import FieldPolicy
from mac_whisper_speedtest.printable import without_control
from mac_whisper_speedtest.privacy import scrub_for_others
from mac_whisper_speedtest.results import digests
from mac_whisper_speedtest.results import schema as s

# Names of recordings in a bundle: public ones keep theirs, the user's own get hash and number.
#
# A file's name often tells who speaks, and about what. No figure needs it: the hash of the samples
# identifies a recording. Pseudonyms are the same in every bundle of a run, and map to themselves,
# so that a bundle of an imported run is identical.


_CUT = r"(?:cut from )?"
_PUBLIC = re.compile(
    _CUT + r"(?:moonshine-voice [\w.]+, [\w./-]+(?:, said \d+ times)?"
    r"|LibriSpeech [\w-]+ \(openslr\.org/12, CC BY 4\.0\)"
    r"|[\w.-]+/[\w.-]+ at [0-9a-f]{40} on the Hugging Face hub)"
)
"""Public sources of speech: the built-in clips, and datasets by their names."""
_GENERAL = re.compile(_CUT + r"(?:a (?:file|folder|manifest) of the user's|the microphone)")
"""Other sources with descriptions that reveal nothing."""
NOT_PUBLIC = "a recording that is not public"

_KINDS = {"clip": "recording", "set": "set", "durations": "cuts"}
_LENGTH = re.compile(r"\d+(?:\.\d+)?s")
PSEUDONYM = re.compile(r"(?:recording|set|cuts)-[0-9a-f]{8}(?:-\d+)?|(?:utterance|entry)-\d{4,}")
_SHORTEST = 4
"""Shorter names are not replaced in texts, because they occur inside words."""
_WORDS = re.compile(r"[^\s/'\",;:()\[\]{}]+")


def is_public(clip: s.ClipInfo) -> bool:
    """Whether that speech is public, so that its names and words are no secret."""
    return _PUBLIC.fullmatch(clip.source) is not None


def shared_source(clip: s.ClipInfo) -> str:
    """The source of a clip, in words that identify no person."""
    named = is_public(clip) or _GENERAL.fullmatch(clip.source)
    return clip.source if named else NOT_PUBLIC


@dataclass(frozen=True, slots=True)
class ClipPseudonyms:
    """The names of one clip of a run and of its recordings in a bundle.

    Attributes:
        public: whether its words may be shared without asking.
        name: of the clip.
        inside: name in the run → name in the bundle, of recordings, also of omitted ones.
    """

    public: bool
    name: str
    inside: Mapping[str, str]


@dataclass(frozen=True)
class Pseudonyms:
    """The names in a bundle of everything in a run that the user named.

    Attributes:
        clips: clip's name in the run → its names in the bundle.
        cells: cell id in the run → cell id in the bundle.
        clip_of: cell id in the run → its clip's name in the run.
    """

    clips: Mapping[str, ClipPseudonyms]
    cells: Mapping[str, str]
    clip_of: Mapping[str, str]

    def of_clip(self, name: str) -> str:
        """A clip's name in the bundle."""
        return self.clips[name].name if name in self.clips else "recording"

    def replaced_in(self, text: str) -> str:
        """``text`` with every name of the run replaced by the bundle's."""
        for old, new in self._phrases:
            text = text.replace(old, new)
        if not self._words:
            return text
        return _WORDS.sub(lambda found: self._words.get(found[0], found[0]), text)

    @functools.cached_property
    def _replaced(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for clip, names in self.clips.items():
            found |= names.inside
            found[clip] = names.name
        found |= self.cells
        return {old: new for old, new in found.items() if old != new and len(old) >= _SHORTEST}

    @functools.cached_property
    def _phrases(self) -> Sequence[tuple[str, str]]:
        """Names of several words, the longest first."""
        several = [each for each in self._replaced.items() if not _WORDS.fullmatch(each[0])]
        return sorted(several, key=lambda each: -len(each[0]))

    @functools.cached_property
    def _words(self) -> Mapping[str, str]:
        """Names of one word, and names of files without their suffix."""
        stems = {old.rpartition(".")[0]: new for old, new in self._replaced.items()}
        # A number can have other meanings in a text.
        said = {old: new for old, new in stems.items() if not old.isdigit()}
        found = {**said, **self._replaced}
        return {
            old: new
            for old, new in found.items()
            if len(old) >= _SHORTEST and _WORDS.fullmatch(old)
        }


def pseudonyms_of(manifest: s.Manifest) -> Pseudonyms:
    """The names of a run's clips, recordings and cells in its bundle."""
    clips: dict[str, ClipPseudonyms] = {}
    for clip in manifest.clips:
        taken = {each.name for each in clips.values()}
        clips[clip.name] = _clip(clip, taken)
    cells: dict[str, str] = {}
    for plan in manifest.cells:
        names = clips.get(plan.clip)
        new = plan.id
        if names is not None and names.name != plan.clip:
            # An id ends with its clip's name; other ids are replaced by a number.
            begin = plan.id.removesuffix(plan.clip)
            new = begin + names.name if begin != plan.id else f"cell-{len(cells) + 1:04d}"
        cells[plan.id] = new
    return Pseudonyms(clips, cells, {plan.id: plan.clip for plan in manifest.cells})


def _clip(clip: s.ClipInfo, taken: set[str]) -> ClipPseudonyms:
    if is_public(clip):
        own = [each.name for each in clip.utterances]
        own += [each.name for each in (*clip.left_out, *clip.unscored)]
        return ClipPseudonyms(public=True, name=clip.name, inside={name: name for name in own})
    stem = f"{_KINDS.get(clip.kind, 'recording')}-{clip.pcm_sha256[:8]}"
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    inside = {"": "", clip.name: name}
    for number, each in enumerate(clip.utterances, start=1):
        # A cut is named by its length, which is no secret.
        kept = clip.kind == "durations" and _LENGTH.fullmatch(each.name)
        inside[each.name] = each.name if kept else f"utterance-{number:04d}"
    others = (each.name for each in (*clip.left_out, *clip.unscored) if each.name not in inside)
    for number, other in enumerate(dict.fromkeys(others), start=1):
        inside[other] = f"entry-{number:04d}"
    return ClipPseudonyms(public=False, name=name, inside=inside)


TEXTS_LEFT_OUT = "the bundle has no texts, so its accuracy cannot be computed"
"""The reason in ``unscored`` of a clip without its words in the bundle."""

_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_KEY = re.compile(r"[A-Za-z0-9_.+-]+")
_OWN_FILES = "named in the backend's description"
"""``source`` of weights in the user's own files."""

_Struct = TypeVar("_Struct", bound=s.Struct)


class Redactor:
    """Gives away one run: its manifest and journal by the policy of each field.

    Args:
        manifest: the run's, as it was written.
        texts: whether to include the texts of recordings that are not public.
    """

    def __init__(self, manifest: s.Manifest, *, texts: bool = True) -> None:
        self._manifest = manifest
        self._texts = texts
        self._names = pseudonyms_of(manifest)
        self._scrubbed = functools.lru_cache(maxsize=4096)(self._scrub_text)
        self._text_changes: Mapping[FieldPolicy, Callable[[str], str]] = {
            FieldPolicy.NAME: without_control,
            FieldPolicy.SCRUBBED: self._scrubbed,
            FieldPolicy.CLIP: self._names.of_clip,
            FieldPolicy.CELL: lambda name: self._names.cells.get(name, "cell-0000"),
        }

    def manifest(self) -> s.Manifest:
        """The manifest for the bundle."""
        own = self._manifest
        shared = self._redacted(own, None)
        return msgspec.structs.replace(
            shared,
            clips=[
                self._noting_missing_texts(old, new)
                for old, new in zip(own.clips, shared.clips, strict=True)
            ],
            request_sha256=digests.sha256(shared.request),
        )

    def event(self, event: s.Event) -> s.Event:
        """A journal line for the bundle."""
        cell = getattr(event, "cell", None)
        return self._redacted(event, self._names.clip_of.get(cell) if cell is not None else None)

    def _redacted(self, struct: _Struct, clip: str | None) -> _Struct:
        changed = {
            name: self._value(struct, policy, old, clip)
            for name, policy in changing_fields(type(struct))
            if (old := getattr(struct, name)) is not None and old != ""
        }
        return msgspec.structs.replace(struct, **changed)

    def _value(self, struct: s.Struct, policy: FieldPolicy, value: Any, clip: str | None) -> Any:
        """A field's value after its policy was applied; ``struct`` belongs to ``clip``."""
        if policy in self._text_changes:
            return _each_text(value, self._text_changes[policy])
        own = self._names.clips.get(clip) if clip is not None else None
        new: Any
        match policy:
            case FieldPolicy.UTTERANCE:
                # A name that is not in the manifest is meaningless to others.
                new = own.inside.get(value, "utterance-0000") if own else "utterance-0000"
            case FieldPolicy.SAID:
                new = without_control(value) if self._has_texts(own) else ""
            case FieldPolicy.REFERENCE:
                new = without_control(value) if self._has_texts(own) else None
            case FieldPolicy.INSIDE:
                new = self._inside(value, clip)
            case FieldPolicy.DETAILS:
                new = {key: self._scrubbed(value[key]) for key in value if key in DETAILS}
            case FieldPolicy.NUMBERS:
                found = _NUMBERS.match(value)
                new = found[0] if found else ""
            case FieldPolicy.SOURCE:
                assert isinstance(struct, s.ClipInfo)
                new = shared_source(struct)
            case FieldPolicy.FILES:
                assert isinstance(struct, s.WeightsInfo)
                new = _files(struct)
            case FieldPolicy.DROPPED:
                new = type(value)()
            case _:
                raise AssertionError(f"{policy} changes no field")
        return new

    def _inside(self, value: Any, clip: str | None) -> Any:
        if isinstance(value, list):
            return [self._inside(each, clip) for each in value]
        if isinstance(value, dict):
            return {_key(name, self._scrubbed): self._inside(value[name], clip) for name in value}
        if isinstance(value, s.ClipInfo):
            clip = value.name
        return self._redacted(value, clip)

    def _scrub_text(self, text: str) -> str:
        return without_control(scrub_for_others(self._names.replaced_in(text))) if text else text

    def _has_texts(self, clip: ClipPseudonyms | None) -> bool:
        return self._texts or (clip is not None and clip.public)

    def _noting_missing_texts(self, old: s.ClipInfo, new: s.ClipInfo) -> s.ClipInfo:
        noted = any(each.reason == TEXTS_LEFT_OUT for each in new.unscored)
        if noted or self._has_texts(self._names.clips[old.name]):
            return new
        note = s.LeftOutInfo(name=new.name, reason=TEXTS_LEFT_OUT)
        return msgspec.structs.replace(new, unscored=[*new.unscored, note])


@functools.cache
def changing_fields(kind: type[s.Struct]) -> tuple[tuple[str, FieldPolicy], ...]:
    """The fields of a struct that are not simply kept, with their policies.

    Raises:
        TypeError: a field has no policy, so it is undecided whether it may be shared.
    """
    hows = POLICIES[kind]
    if undecided := [name for name in kind.__struct_fields__ if name not in hows]:
        raise TypeError(f"no FieldPolicy at {', '.join(undecided)} of {kind.__name__}")
    named = [(name, hows[name]) for name in kind.__struct_fields__]
    # The callers recompute fields that are computed from others.
    return tuple(
        (name, how) for name, how in named if how not in {FieldPolicy.KEPT, FieldPolicy.RECOMPUTED}
    )


def texts_left_out(manifest: s.Manifest) -> bool:
    """Whether words are missing from a bundle, so that accuracy cannot be computed from it."""
    return any(each.reason == TEXTS_LEFT_OUT for clip in manifest.clips for each in clip.unscored)


def private_clips(manifest: s.Manifest) -> list[str]:
    """The clips with the user's own words, by their names in the run."""
    return [clip.name for clip in manifest.clips if not is_public(clip)]


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """``value`` with every text in it changed, at any depth; keys unless they are field names."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(_each_text(each, change) for each in value)
    if isinstance(value, dict):
        return {_key(key, change): _each_text(each, change) for key, each in value.items()}
    return value


def _key(key: str, change: Callable[[str], str]) -> str:
    return key if _KEY.fullmatch(key) else change(key)


def _files(weights: s.WeightsInfo) -> dict[str, str]:
    if weights.source != _OWN_FILES:
        return dict(weights.files)
    # Numbered in the order of their names; a network's identity does not depend on names.
    ordered = sorted(weights.files.items())
    return {f"file-{number:04d}": digest for number, (_, digest) in enumerate(ordered, start=1)}
