"""``speedtest run`` from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

from mac_whisper_speedtest.api import options as requests
from mac_whisper_speedtest.api.options import Options
from mac_whisper_speedtest.api.results import Results, StrPath
from mac_whisper_speedtest.audio.select import MAX_DOWNLOAD_BYTES, Choice
from mac_whisper_speedtest.compare import sources
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run import install as installed
from mac_whisper_speedtest.run import prepare, session
from mac_whisper_speedtest.run import resume as resumption
from mac_whisper_speedtest.run.screen import Screen


@dataclass(frozen=True, slots=True)
class _Told:
    """Hands what happens in a run to one function that takes a line of text."""

    tell: Callable[[str], None] = field(default=lambda _text: None)

    def screen(self) -> Screen:
        return Screen(visit=self._visit, event=self._event, announce=self.tell)

    def _visit(self, number: int, rounds: int, cell: str) -> None:
        self.tell(f"round {number + 1} of {rounds}: {cell}")

    def _event(self, event: s.Event) -> None:
        if isinstance(event, s.WorkerEnded) and event.status != "ok":
            self.tell(f"{event.cell}: {event.status}: {event.message}")


def run(
    models: str | Sequence[str],
    *,
    backends: StrPath | Sequence[StrPath] = (),
    audio: StrPath | None = None,
    clip: str | None = None,
    manifest: StrPath | None = None,
    dataset: str | None = None,
    mic_seconds: float | None = None,
    durations: Sequence[float] = (),
    language: str | None = None,
    download: bool = False,
    allow_http: bool = False,
    max_download_bytes: int = MAX_DOWNLOAD_BYTES,
    keep_recording: bool = False,
    install: bool = False,
    resume: bool | str = False,
    progress: Callable[[str], None] | None = None,
    **options: Unpack[Options],
) -> Results:
    """Measure backends on models and one recording or set, as ``speedtest run`` does.

    Nothing but the built-in clip is downloaded, unless an address as ``audio``, ``download``,
    ``install`` or ``repair`` ask for it.
    Cells that fail are in the results and raise nothing. An interrupt seals what there is; the
    outcome of the run is then ``interrupted``.

    Args:
        models: one name or several.
        backends: names as ``--backend`` takes them, or paths of ``.toml`` files; none is all.
        audio: a file, a folder, or an https address.
        clip: a built-in clip. Without any source it is the short one.
        manifest: a list of recordings.
        dataset: as ``--dataset`` takes it.
        mic_seconds: record for so long from the microphone.
        durations: measure on cuts of these seconds.
        language: spoken in the recordings.
        download: let ``dataset`` download what is not here.
        allow_http: let ``audio`` be an address that begins with http://.
        max_download_bytes: give up on an ``audio`` address that sends more.
        keep_recording: save what the microphone heard with the run.
        install: make the environments of backends that are installed nowhere.
        resume: go on with the newest unfinished run of this request, or with the one named.
        progress: told a line before each visit and of each failure, never during a sample; such
            as ``print``.
        options: see :class:`~mac_whisper_speedtest.api.options.Options`.

    Raises:
        UsageError: the request is wrong or cannot be met.
        WeightsError: weights are not what they should be.
        StorageError: results cannot be written.
    """
    told = _Told() if progress is None else _Told(progress)
    speech = Choice(
        audio=str(audio) if audio is not None else None,
        clip=clip,
        manifest=Path(manifest) if manifest is not None else None,
        dataset=dataset,
        mic_seconds=mic_seconds,
        durations=tuple(durations) or None,
        language=language,
        keep=keep_recording,
        allow_http=allow_http,
        max_download_bytes=max_download_bytes,
    )
    request = requests.request(models, backends, speech, options)
    if resume:
        resumption.check(request)
    if install:
        installed.add_missing(request.backends, told.tell)
    prepared = prepare.prepare(request, announce=told.tell, allow_download=download)
    going_on = None
    if resume:
        decided = resumption.decide(prepared, resume if isinstance(resume, str) else None)
        for line in decided.words:
            told.tell(line)
        prepared, going_on = decided.prepared, decided.run
        if going_on is not None and decided.complete:
            return Results(sources.of_directory(going_on))
    found, _ = session.measure(prepared, told.screen(), resume=going_on)
    return Results(sources.of_directory(found))
