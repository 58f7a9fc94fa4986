"""What a cell's texts show beside their error rate: variation, loops, words over silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mac_whisper_speedtest.accuracy import determinism
from mac_whisper_speedtest.accuracy import text as hallucination
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.summary import samples


def heard(cell: s.CellResult) -> Iterator[determinism.Heard]:
    """The text of every sample that gave one."""
    for sample in cell.samples:
        if not sample.failed:
            yield determinism.Heard(
                cell=cell.id,
                backend=cell.backend.name.partition(":")[0].partition("@")[0],
                model=cell.model.name,
                device=cell.backend.device,
                precision=cell.backend.precision,
                utterance=sample.utterance,
                text=sample.text,
                round=sample.round,
            )


def differing(cell: s.CellResult) -> Iterator[str]:
    """Different texts from the same audio."""
    for found in determinism.repeats(heard(cell)):
        if not found.differing:
            continue
        claim = cell.contract.effective.get("temperatures") == [0.0]
        yield (
            f"{found.most} different texts from the same audio"
            + (f", in {found.differing} of {found.utterances}" if found.utterances > 1 else "")
            + (", though it reports temperature 0 and no fallback" if claim else "")
            + ("" if found.differing_words else "; only case and punctuation differ")
            + ("" if found.within_rounds else "; only from process to process")
        )


def loop(cell: s.CellResult) -> Iterator[str]:
    """Transcripts that repeat themselves, as hallucinations do; not where the speaker does."""
    repeats_itself = {
        each.name
        for each in samples.recordings(cell.clip)
        if each.reference is not None and hallucination.repetition(each.reference)
    }
    looked = [sample for sample in cell.samples if sample.utterance not in repeats_itself]
    found = {text: hallucination.repetition(text) for text in {each.text for each in looked}}
    bad = [sample for sample in looked if found[sample.text]]
    if bad:
        yield f"{found[bad[0].text]}, in {len(bad)} of {len(looked)} transcripts"


def silence(cell: s.CellResult) -> Iterator[str]:
    """Words where nothing is to be heard."""
    for each in samples.recordings(cell.clip):
        silent = [(start, end) for start, end in each.silences_s]
        said = next((one for one in cell.samples if one.utterance == each.name), None)
        if said is None or not silent:
            continue
        segments = [hallucination.Segment(x.start_s, x.end_s, x.text) for x in said.segments]
        found = hallucination.over_silence(segments, silent, audio_s=each.seconds)
        message = hallucination.describe_over_silence(found)
        if message:
            yield f"{each.name}: {message}" if each.name else message
            return


def failures(timed: Sequence[s.SampleResult]) -> Iterator[str]:
    """Recordings that a backend gave no text for."""
    bad = {sample.utterance: sample.failed for sample in timed if sample.failed}
    if bad:
        name, said = next(iter(bad.items()))
        asked = len({sample.utterance for sample in timed})
        yield f"no text for {len(bad)} of {asked} recordings, such as {name}: {said}"
