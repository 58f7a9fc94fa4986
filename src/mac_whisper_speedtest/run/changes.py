"""What is not the same as when a run began: why it cannot be taken up again. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results import schema as s

_LONGEST_VALUE = 80


def changes(then: s.Manifest, now: s.Manifest) -> list[str]:
    """Everything in which the same run would now measure something else, each in a few words.

    Args:
        then: the manifest of the run that is to be taken up again.
        now: what a new run would write down.
    """
    return [
        *_request(then.request, now.request),
        *_speech(then, now),
        *_weights(then, now),
        *_machine(then.machine, now.machine),
        *_tags(then, now),
    ]


def versions(
    then: Mapping[str, s.Loaded], now: Mapping[str, tuple[str, Mapping[str, str]]]
) -> list[str]:
    """Backends that are not the releases that they were.

    Args:
        then: backend name → what its workers said when they had loaded, the last of them.
        now: the same backends → the version, and whatever else could change a number.
    """
    found = []
    for name, was in then.items():
        version, others = now[name]
        pairs: dict[str, tuple[str | None, str | None]] = {"": (was.version, version)}
        pairs |= {
            f" ({each})": (was.versions.get(each), others.get(each))
            for each in sorted({*was.versions, *others})
        }
        found += [
            f"{name}{what} {old or 'unknown'} → {new or 'unknown'}"
            for what, (old, new) in pairs.items()
            if old != new
        ]
    return found


def remarks(then: s.Manifest, now: s.Manifest) -> list[str]:
    """What is not the same and does not keep the run from going on."""
    if then.tool == now.tool:
        return []
    return [f"this tool was {_tool(then.tool)} and is {_tool(now.tool)}"]


def _request(then: s.RequestInfo, now: s.RequestInfo) -> Iterator[str]:
    for name in s.RequestInfo.__struct_fields__:
        was, is_ = getattr(then, name), getattr(now, name)
        if name == "contract":
            for setting in sorted({*was, *is_}):
                if was.get(setting) != is_.get(setting):
                    yield _changed(f"contract.{setting}", was.get(setting), is_.get(setting))
        elif was != is_:
            yield _changed(name, was, is_)


def _speech(then: s.Manifest, now: s.Manifest) -> Iterator[str]:
    for was, is_ in zip(then.clips, now.clips, strict=False):
        if was.pcm_sha256 != is_.pcm_sha256:
            yield f"the speech {was.name}: {_digits(was.pcm_sha256)} → {_digits(is_.pcm_sha256)}"
        elif _words(was) != _words(is_):
            yield f"the reference texts of {was.name}"
        elif [each.name for each in was.utterances] != [each.name for each in is_.utterances]:
            yield f"the order of the recordings of {was.name}"


def _words(clip: s.ClipInfo) -> list[tuple[str, str | None, str | None]]:
    known: Sequence[s.ClipInfo | s.UtteranceInfo] = clip.utterances or [clip]
    return sorted(
        ((each.name, each.reference, each.language) for each in known), key=lambda each: each[0]
    )


def _weights(then: s.Manifest, now: s.Manifest) -> Iterator[str]:
    here = {plan.id: plan for plan in now.cells}
    for was in then.cells:
        is_ = here.get(was.id)
        if is_ is None:
            yield f"the cell {was.id} is gone"
        elif was.weights is not None and is_.weights is None:
            yield f"the weights of {was.id} were there and are not now"
        elif (
            was.weights is not None
            and is_.weights is not None
            and was.weights.files != is_.weights.files
        ):
            yield f"the weights of {was.id}: {_files(was.weights)} → {_files(is_.weights)}"
        if is_ is not None and was.declared != is_.declared:
            yield f"what {was.backend} is described to decode with"
    known = {plan.id for plan in then.cells}
    yield from (f"the cell {name} is new" for name in here if name not in known)


def _machine(then: s.MachineInfo, now: s.MachineInfo) -> Iterator[str]:
    was, is_ = comparable.hardware_class(then), comparable.hardware_class(now)
    if was != is_:
        yield f"the machine: {was} → {is_}"


def _tags(then: s.Manifest, now: s.Manifest) -> Iterator[str]:
    missing = [tag for tag in now.tags if tag not in then.tags]
    if missing:
        yield f"it is not tagged {', '.join(missing)}"


def _changed(name: str, was: object, is_: object) -> str:
    return f"{name} {_shown(was)} → {_shown(is_)}"


def _shown(value: object) -> str:
    text = ", ".join(map(str, value)) or "none" if isinstance(value, list) else f"{value}"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _files(weights: s.WeightsInfo) -> str:
    return ", ".join(sorted({_digits(each) for each in weights.files.values()})) or "no files"


def _digits(sha256: str) -> str:
    return sha256[:12]


def _tool(tool: s.ToolInfo) -> str:
    return f"{tool.version} ({_digits(tool.git_sha)})" if tool.git_sha else tool.version
