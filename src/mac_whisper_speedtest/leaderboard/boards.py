"""What a leaderboard is: boards of rows, and classes of machines. Types only."""

from __future__ import annotations

from dataclasses import dataclass

from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.leaderboard.peers import Spread, Standing
from mac_whisper_speedtest.leaderboard.pooled import Figure
from mac_whisper_speedtest.leaderboard.submissions import Runner, Speech, Work


@dataclass(frozen=True, slots=True)
class Row:
    """One backend, version, device and precision on a board.

    Attributes:
        runner: what did the work.
        place: the best place in its group that is left open to it; ``None`` where no run of it
            ended ``ok``.
        place_last: the worst.
        rtfx: audio seconds per processing second; ``None`` likewise.
        error_rate: a fraction; ``None`` where no words are known.
        peak_rss_bytes: memory of the worker.
        device_memory_bytes: of the accelerator.
        joules_per_audio_hour: energy above idle.
        energy_quality: how far that is to be trusted.
        load_s: seconds to load the weights.
        runs_ok: how many of its runs ended ``ok``.
        runs: how many tried, those that could not run there left out.
        endings: status → how many runs.
        rounds: how many rounds the speed rests on.
        bundles: names of the bundles that tried.
    """

    runner: Runner
    place: int | None
    place_last: int | None
    rtfx: Figure | None
    error_rate: Figure | None
    peak_rss_bytes: float | None
    device_memory_bytes: float | None
    joules_per_audio_hour: float | None
    energy_quality: str
    load_s: float | None
    runs_ok: int
    runs: int
    endings: dict[str, int]
    rounds: int
    bundles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that did equal work; across groups there is no ranking.

    Attributes:
        name: its letter; empty for runs of which it is not known what they would have done.
        deviations: how the work differs from the contract, in words.
        wrong: whether they are too wrong for their speed to count.
        rows: the fastest first.
    """

    name: str
    deviations: tuple[str, ...]
    wrong: bool
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One kind of machine, contract, model and speech.

    Attributes:
        work: what was to be done.
        contract: its settings.
        speech: the audio.
        metric: ``wer`` or ``cer``; empty where no words are known.
        bundles: how many took part.
        margin: the relative difference below which nothing is ranked: the largest of its bundles'.
        groups: those that kept the contract first, what is wrong and what failed last.
        unavailable: backend → in how many bundles it could not run.
    """

    work: Work
    contract: dict[str, SettingValue]
    speech: Speech
    metric: str
    bundles: int
    margin: float
    groups: tuple[Group, ...]
    unavailable: dict[str, int]


@dataclass(frozen=True, slots=True)
class Member:
    """A bundle among those of its class.

    Attributes:
        name: see ``Submission``.
        started_at: as its run says.
        os_version: likewise.
        python: likewise.
        tool: likewise.
        cells: of its run.
        cells_ok: of these, ended ``ok``.
        standing: whether it is off its peers.
        alike: other bundles with exactly the same timings, which no two measurements have.
    """

    name: str
    started_at: str
    os_version: str
    python: str
    tool: str
    cells: int
    cells_ok: int
    standing: Standing
    alike: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MachineClass:
    """All bundles of one hardware class; ``spread`` is ``None`` where too few can be compared."""

    hardware: str
    members: tuple[Member, ...]
    spread: Spread | None


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Boards in the order of hardware, model, contract and speech, and the classes of machines."""

    boards: tuple[Board, ...]
    classes: tuple[MachineClass, ...]
