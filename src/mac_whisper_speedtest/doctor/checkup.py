"""Looking at everything, at the same time where that disturbs nothing, and putting it in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from mac_whisper_speedtest.doctor import accelerators, load, packages, storage, system
from mac_whisper_speedtest.doctor.lines import Checkup, CheckupLine, Section, unknown
from mac_whisper_speedtest.machine.reader import Reader, Unknown
from mac_whisper_speedtest.privacy import scrub

_AT_ONCE = 8  # nearly all of them wait for a program


def examine(reader: Reader | None = None, *, quick: bool = False, online: bool = False) -> Checkup:
    """Look at this machine. No probe that fails ends it; what it would have said is "not known".

    Args:
        reader: where answers come from; by default this machine.
        quick: do not start the backends' interpreters to ask which accelerators they see.
        online: ask the hub; without it nothing is sent anywhere.
    """
    reader = reader or Reader()
    # Before anything else is started, which would be seen as load.
    busy = _guarded("background load", lambda: load.inspect_load(reader))
    uv = system.find_uv()
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        return _together(reader, busy, uv, pool, quick=quick, online=online)
    finally:
        reader.stop()
        pool.shutdown(cancel_futures=True)


def _together(
    reader: Reader,
    busy: list[CheckupLine],
    uv: str | Unknown,
    pool: ThreadPoolExecutor,
    *,
    quick: bool,
    online: bool,
) -> Checkup:
    def begin(topic: str, look: Callable[[], Iterable[CheckupLine]]) -> Future[list[CheckupLine]]:
        return pool.submit(_guarded, topic, look)

    gpus = pool.submit(_gpus, reader)
    backends = begin("backends", lambda: _backends(reader, gpus, pool, quick=quick))
    hub = begin("hub", lambda: [storage.inspect_network() if online else storage.not_asked()])
    programs = begin("uv", lambda: system.inspect_tools(reader, uv))
    microphones = begin("microphone", lambda: packages.inspect_microphone(reader))
    kept = begin("tool cache", lambda: _storage(storage.folders(reader, uv), pool))
    conflicts = begin("packages", lambda: [packages.inspect_packages()])
    machine = [
        *_guarded("python", lambda: system.inspect_interpreter(reader)),
        *_guarded("system", lambda: system.inspect_system(reader)),
        *_guarded("memory", lambda: load.inspect_memory(reader)),
    ]
    quiet = [
        *_guarded("power source", lambda: load.inspect_power(reader)),
        *_guarded("thermal state", lambda: load.inspect_thermal(reader)),
        *busy,
    ]
    return Checkup(
        (
            _section("machine", [*machine, *gpus.result().lines]),
            _section("quiet", quiet),
            _section("backends", backends.result()),
            _section("storage", kept.result()),
            _section(
                "software",
                [
                    *conflicts.result(),
                    *programs.result(),
                    *microphones.result(),
                    *hub.result(),
                ],
            ),
        )
    )


def _backends(
    reader: Reader, gpus: Future[accelerators.Gpus], pool: ThreadPoolExecutor, *, quick: bool
) -> list[CheckupLine]:
    places = accelerators.places()
    if quick:
        return accelerators.judge_accelerators(
            places, accelerators.InterpreterAnswers(asked=False), gpus.result().kinds
        )
    keys = {place.key for place in places if place.question}
    answers = {key: pool.submit(accelerators.ask_interpreter, reader, key) for key in keys}
    asked = accelerators.InterpreterAnswers(
        {key: answer.result() for key, answer in answers.items()}
    )
    return accelerators.judge_accelerators(places, asked, gpus.result().kinds)


def _storage(folders: Sequence[storage.Folder], pool: ThreadPoolExecutor) -> list[CheckupLine]:
    """One line per folder, all counted at the same time, and one per disk."""

    def one(folder: storage.Folder) -> list[CheckupLine]:
        return _guarded(folder.topic, lambda: [storage.inspect_storage(folder)])

    sizes = [pool.submit(one, folder) for folder in folders]
    disks = _guarded("disk", lambda: storage.disks(folders))
    return [*(line for size in sizes for line in size.result()), *disks]


def _gpus(reader: Reader) -> accelerators.Gpus:
    try:
        return accelerators.inspect_gpu(reader)
    except Exception as error:  # noqa: BLE001 - as in _guarded
        return accelerators.Gpus((unknown("gpu", f"{type(error).__name__}: {error}"),))


def _guarded(topic: str, look: Callable[[], Iterable[CheckupLine]]) -> list[CheckupLine]:
    """What ``look`` says; if it breaks on a machine nobody has tried, that costs its own lines."""
    try:
        return list(look())
    except Exception as error:  # noqa: BLE001 - see above
        return [unknown(topic, f"{type(error).__name__}: {error}")]


def _section(title: str, lines: Iterable[CheckupLine]) -> Section:
    """The lines without names, home folders and tokens, each on one line."""
    return Section(
        title,
        tuple(replace(line, seen=_clean(line.seen), next=_clean(line.next)) for line in lines),
    )


def _clean(text: str) -> str:
    return scrub(" ".join(text.split()))
