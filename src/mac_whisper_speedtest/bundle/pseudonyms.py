"""What a bundle calls recordings: public ones by their names, the user's own by hash and number.

A file's name often says who speaks, and about what. No figure needs it: a recording is known again
by the hash of its samples. Pseudonyms are the same in every bundle of a run, and are given to
themselves, so that a bundle of an imported run is the same once more.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.results import schema as s

_CUT = r"(?:cut from )?"
_PUBLIC = re.compile(
    _CUT + r"(?:moonshine-voice [\w.]+, [\w./-]+(?:, said \d+ times)?"
    r"|LibriSpeech [\w-]+ \(openslr\.org/12, CC BY 4\.0\)"
    r"|[\w.-]+/[\w.-]+ at [0-9a-f]{40} on the Hugging Face hub)"
)
"""Sources of speech that anybody can get: the built-in clips, and datasets by their names."""
_GENERAL = re.compile(_CUT + r"(?:a (?:file|folder|manifest) of the user's|the microphone)")
"""Other sources whose words name nothing."""
NOT_PUBLIC = "a recording that is not public"

_KINDS = {"clip": "recording", "set": "set", "durations": "cuts"}
_LENGTH = re.compile(r"\d+(?:\.\d+)?s")
PSEUDONYM = re.compile(r"(?:recording|set|cuts)-[0-9a-f]{8}(?:-\d+)?|(?:utterance|entry)-\d{4,}")
_SHORTEST = 4
"""Letters that a name must have to be looked for in texts: shorter ones are parts of words."""
_WORDS = re.compile(r"[^\s/'\",;:()\[\]{}]+")


def is_public(clip: s.ClipInfo) -> bool:
    """Whether anybody can get that speech, so that its names and words are no secret."""
    return _PUBLIC.fullmatch(clip.source) is not None


def source(clip: s.ClipInfo) -> str:
    """Where speech comes from, in words that name nobody."""
    named = is_public(clip) or _GENERAL.fullmatch(clip.source)
    return clip.source if named else NOT_PUBLIC


@dataclass(frozen=True, slots=True)
class ClipNames:
    """What one clip of a run and its recordings are called in a bundle.

    Attributes:
        public: whether its words may be given away without asking.
        name: of the clip.
        inside: name in the run → name in the bundle, of recordings and of what was left out.
    """

    public: bool
    name: str
    inside: Mapping[str, str]


@dataclass(frozen=True)
class Names:
    """What a bundle calls everything of a run that has a name of the user's.

    Attributes:
        clips: clip's name in the run → its names.
        cells: cell's id in the run → in the bundle.
        clip_of: cell's id in the run → its clip's name there.
    """

    clips: Mapping[str, ClipNames]
    cells: Mapping[str, str]
    clip_of: Mapping[str, str]

    def in_text(self, text: str) -> str:
        """``text`` with the names that the bundle has, wherever one of the run's stands in it."""
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
        """Names of one word, and what is before the last full stop in those of files."""
        stems = {old.rpartition(".")[0]: new for old, new in self._replaced.items()}
        # Numbers mean other things too.
        said = {old: new for old, new in stems.items() if not old.isdigit()}
        found = {**said, **self._replaced}
        return {
            old: new
            for old, new in found.items()
            if len(old) >= _SHORTEST and _WORDS.fullmatch(old)
        }


def choose(manifest: s.Manifest) -> Names:
    """What a bundle of that run calls its clips, recordings and cells."""
    clips: dict[str, ClipNames] = {}
    for clip in manifest.clips:
        taken = {each.name for each in clips.values()}
        clips[clip.name] = _clip(clip, taken)
    cells: dict[str, str] = {}
    for plan in manifest.cells:
        names = clips.get(plan.clip)
        new = plan.id
        if names is not None and names.name != plan.clip:
            # An id ends with its clip's name; what does not is told by its number alone.
            begin = plan.id.removesuffix(plan.clip)
            new = begin + names.name if begin != plan.id else f"cell-{len(cells) + 1:04d}"
        cells[plan.id] = new
    return Names(clips, cells, {plan.id: plan.clip for plan in manifest.cells})


def _clip(clip: s.ClipInfo, taken: set[str]) -> ClipNames:
    if is_public(clip):
        own = [each.name for each in clip.utterances]
        own += [each.name for each in (*clip.left_out, *clip.unscored)]
        return ClipNames(public=True, name=clip.name, inside={name: name for name in own})
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
    return ClipNames(public=False, name=name, inside=inside)
