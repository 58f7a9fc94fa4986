"""Runs all checks, concurrently where they do not disturb each other, and orders their lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from mac_whisper_speedtest.doctor import accelerators, load, packages, storage, system
from mac_whisper_speedtest.doctor.lines import Checkup, CheckupLine, Section, unknown
from mac_whisper_speedtest.machine import apple
from mac_whisper_speedtest.machine.reader import Reader, Unknown
from mac_whisper_speedtest.privacy import scrub

_MAX_THREADS = 8  # nearly all of them wait for a program


def examine(reader: Reader | None = None, *, quick: bool = False, online: bool = False) -> Checkup:
    """Check this machine. A check that fails yields a line "not known" and does not end the others.

    Args:
        reader: where answers come from; by default this machine.
        quick: do not start the backends' interpreters to query which accelerators they see.
        online: contact the hub; without it nothing is sent anywhere.
    """
    reader = reader or Reader()
    # First, because anything started before it would be counted as load.
    load_lines = _guarded("background load", lambda: load.inspect_load(reader))
    uv = system.find_uv()
    pool = ThreadPoolExecutor(_MAX_THREADS)
    try:
        return _run_checks(reader, load_lines, uv, pool, quick=quick, online=online)
    finally:
        reader.stop()
        pool.shutdown(cancel_futures=True)


def _run_checks(
    reader: Reader,
    load_lines: list[CheckupLine],
    uv: str | Unknown,
    pool: ThreadPoolExecutor,
    *,
    quick: bool,
    online: bool,
) -> Checkup:
    def begin(topic: str, check: Callable[[], Iterable[CheckupLine]]) -> Future[list[CheckupLine]]:
        return pool.submit(_guarded, topic, check)

    gpus = pool.submit(_gpus, reader)
    backends = begin("backends", lambda: _backends(reader, gpus, pool, quick=quick))
    hub = begin("hub", lambda: [storage.inspect_network() if online else storage.hub_not_checked()])
    programs = begin("uv", lambda: system.inspect_tools(reader, uv))
    microphones = begin("microphone", lambda: packages.inspect_microphone(reader))
    stored = begin("tool cache", lambda: _storage(storage.folders(reader, uv), pool))
    energy = begin("energy", lambda: load.inspect_energy(reader))
    conflicts = begin("packages", lambda: [packages.inspect_packages(), packages.inspect_command()])
    machine = [
        *_guarded("python", lambda: system.inspect_interpreter(reader)),
        *_guarded("system", lambda: system.inspect_system(reader)),
        *_guarded("memory", lambda: load.inspect_memory(reader)),
    ]
    quiet = [
        *_guarded("power source", lambda: load.inspect_power(reader)),
        *_guarded("thermal state", lambda: load.inspect_thermal(reader)),
        *load_lines,
    ]
    return Checkup(
        (
            _section("machine", [*machine, *gpus.result().lines, *energy.result()]),
            _section("quiet", quiet),
            _section("backends", backends.result()),
            _section("storage", stored.result()),
            _section(
                "software",
                [
                    line
                    for check in (conflicts, programs, microphones, hub)
                    for line in check.result()
                ],
            ),
        )
    )


def _backends(
    reader: Reader, gpus: Future[accelerators.Gpus], pool: ThreadPoolExecutor, *, quick: bool
) -> list[CheckupLine]:
    locations = accelerators.interpreter_locations()
    answers = None
    if not quick:
        keys = {location.key for location in locations if location.question}
        started = {key: pool.submit(accelerators.query_interpreter, reader, key) for key in keys}
        answers = {key: answer.result() for key, answer in started.items()}
    release = apple.system(reader)[0] if reader.macos else ""
    macos = release if isinstance(release, str) else ""
    return accelerators.judge_accelerators(locations, answers, gpus.result().kinds, macos)


def _storage(folders: Sequence[storage.Folder], pool: ThreadPoolExecutor) -> list[CheckupLine]:
    """One line per folder, all measured concurrently, and one per disk."""

    def one(folder: storage.Folder) -> list[CheckupLine]:
        return _guarded(folder.topic, lambda: [storage.inspect_storage(folder)])

    sizes = [pool.submit(one, folder) for folder in folders]
    disks = _guarded("disk", lambda: storage.inspect_disks(folders))
    return [*(line for size in sizes for line in size.result()), *disks]


def _gpus(reader: Reader) -> accelerators.Gpus:
    try:
        return accelerators.inspect_gpu(reader)
    except Exception as error:  # noqa: BLE001 - as in _guarded
        return accelerators.Gpus((unknown("gpu", f"{type(error).__name__}: {error}"),))


def _guarded(topic: str, check: Callable[[], Iterable[CheckupLine]]) -> list[CheckupLine]:
    """The lines of ``check``; an error on untested hardware affects only these lines."""
    try:
        return list(check())
    except Exception as error:  # noqa: BLE001 - see above
        return [unknown(topic, f"{type(error).__name__}: {error}")]


def _section(title: str, lines: Iterable[CheckupLine]) -> Section:
    """The lines without user names, home folders, tokens and line breaks."""
    return Section(
        title,
        tuple(replace(line, seen=_clean(line.seen), next=_clean(line.next)) for line in lines),
    )


def _clean(text: str) -> str:
    return scrub(" ".join(text.split()))
