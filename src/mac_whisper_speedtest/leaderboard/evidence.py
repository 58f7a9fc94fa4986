"""Whether two files tell of the same run, and tell the same of it: digests of what it measured."""

from __future__ import annotations

from mac_whisper_speedtest.results import comparable, digest
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.summary import samples


def content(run: s.Run) -> str:
    """SHA-256 over what a run's speeds depend on.

    Without what a bundle leaves out, scrubs or names otherwise, so that a run's directory and its
    bundles, with texts or without, are known to be of the same run. Raises StorageError.
    """
    request = run.manifest.request
    return digest.sha256(
        [
            comparable.hardware_class(run.manifest.machine),
            request.contract,
            [request.threads, request.affinity, request.nice],
            [[each.round, each.repeated_as] for each in run.rounds],
            [
                [
                    [
                        cell.backend.name,
                        cell.backend.version,
                        cell.model.name,
                        cell.clip.pcm_sha256,
                    ],
                    comparable.network_sha256(cell.model.weights),
                    cell.contract.effective,
                    [[end.round, end.attempt, end.status] for end in cell.endings],
                    [_timing(each) for each in cell.samples],
                    [[load.round, load.attempt, load.rung, load.load_s] for load in cell.loads],
                    [
                        [m.round, sorted((n, r.value) for n, r in m.readings.items())]
                        for m in cell.meters
                    ],
                ]
                for cell in run.cells
            ],
        ]
    )


def timings_alone(run: s.Run) -> str:
    """SHA-256 over all seconds, whoever took them; empty where there are none."""
    seconds = sorted(sample.seconds for cell in run.cells for sample in cell.samples)
    return digest.sha256(seconds) if seconds else ""


def _timing(each: s.SampleResult) -> list[object]:
    which = [each.round, each.attempt, each.index, each.kind, each.repeated]
    return [which, each.seconds, bool(each.failed), each.peak_rss_bytes]


def texts(run: s.Run) -> str:
    """SHA-256 over what was said and heard; empty where a bundle was made without it."""
    heard = [sample.text for cell in run.cells for sample in cell.samples]
    said = [each.reference for clip in run.manifest.clips for each in samples.recordings(clip)]
    return digest.sha256([heard, said]) if any(heard) or any(said) else ""
