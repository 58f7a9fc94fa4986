"""The checks, in the order they run. Each docstring has the reason for the check."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mac_whisper_speedtest.audio.decode import SAMPLE_RATE
from mac_whisper_speedtest.backends.contract import SETTING_NAMES
from mac_whisper_speedtest.limits import LONGEST_S, LimitError
from mac_whisper_speedtest.printable import shown
from mac_whisper_speedtest.worker import answers
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.conformance.bench import Bench, DoubtError, FailError, SkipError
from mac_whisper_speedtest.worker.conformance.client import Client, NoAnswerError
from mac_whisper_speedtest.worker.messages import encode

TIMED_CALLS = 3
OUTSIDE_CLOCK_S = 0.05
OUTSIDE_CLOCK_SHARE = 0.05
"""Wall time allowed outside the clock, for pipes and JSON: the larger of 50 ms and 5 % of it."""
_BUSY_AUDIO_S = 60
_BUSY_AFTER_S = 0.3
_SPLIT_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class ConformanceCheck:
    """A named check; ``function`` returns what it observed, or raises."""

    name: str
    asks: str
    function: Callable[[Bench], str]


CHECKS: list[ConformanceCheck] = []


def _check(name: str, asks: str) -> Callable[[Callable[[Bench], str]], Callable[[Bench], str]]:
    def register(function: Callable[[Bench], str]) -> Callable[[Bench], str]:
        CHECKS.append(ConformanceCheck(name, asks, function))
        return function

    return register


@_check("hello", f"protocol {m.PROTOCOL_VERSION}, a name and a version, before the deadline")
def _hello(bench: Bench) -> str:
    """Results are filed under this name and version: a run cannot be repeated without them."""
    reply = bench.call(bench.start(), m.Method.HELLO, asdict(m.HelloParams()))
    result = bench.result_of(
        reply, m.HelloResult, lambda result: answers.checked_hello(result, reply.wall_s)
    )
    if result.protocol != m.PROTOCOL_VERSION:
        raise FailError(f"protocol {shown(result.protocol)}")
    return f"{result.name} {result.version} after {reply.wall_s:.2f} s"


@_check("unknown-method", "error -32601, and the worker goes on")
def _unknown_method(bench: Bench) -> str:
    """A newer tool may call other methods; an old worker must be able to refuse them."""
    client = bench.greeted()
    reply = bench.call(client, "conformance.no_such_method")
    return bench.expect_error(client, reply, m.ErrorCode.METHOD_NOT_FOUND)


@_check("malformed-line", "error -32700 with id null, and the worker goes on")
def _malformed_line(bench: Bench) -> str:
    """A worker that exits at a bad line looks like a crash of the engine in the results."""
    client = bench.greeted()
    client.send(b'{"jsonrpc": "2.0", "id": \n')
    reply = client.answer(bench.subject.timeout_s)
    if reply.id is not None:
        raise FailError(f"answered with id {shown(reply.id)}, which it cannot have read")
    return bench.expect_error(client, reply, m.ErrorCode.PARSE_ERROR)


@_check("framing", "a line is a message, however the pipe cuts it")
def _framing(bench: Bench) -> str:
    """Pipes split long lines and join short ones; reading in chunks fails only sometimes."""
    client = bench.greeted()
    line = encode(1001, "conformance.no_such_method", {})
    client.send(line[:20])
    try:
        early = client.answer(_SPLIT_PAUSE_S)
    except NoAnswerError:
        client.send(line[20:])
    else:
        raise FailError(f"answered half a line, with id {shown(early.id)}")
    client.answer(bench.subject.timeout_s)
    return "a line in two pieces was answered once"


@_check("wrong-state", "transcribe before load: error -32006, and the worker goes on")
def _wrong_state(bench: Bench) -> str:
    """Loading on demand would add the load to a measured time."""
    client = bench.greeted()
    reply = bench.call(client, m.Method.TRANSCRIBE, bench.transcribe_params())
    return bench.expect_error(client, reply, m.ErrorCode.WRONG_STATE)


@_check("missing-model", "load of a path that does not exist: error -32002, and the worker goes on")
def _missing_model(bench: Bench) -> str:
    """A worker that loads something else instead measures a model that was not requested."""
    if not bench.subject.takes_weights:
        raise SkipError("the program takes no weights (--no-weights)")
    client = bench.greeted()
    missing = bench.load_params(str(bench.folder / "no-such-weights"))
    return bench.expect_error(
        client, bench.call(client, m.Method.LOAD, missing), m.ErrorCode.MODEL_UNUSABLE
    )


@_check("load", "device, precision and load_s: finite seconds, not more than passed")
def _load(bench: Bench) -> str:
    """The time to load is a separate result, and later calls rely on its completion."""
    client = bench.greeted()
    reply = bench.call(client, m.Method.LOAD, bench.load_params())
    result = bench.result_of(
        reply, m.LoadReply, lambda result: answers.checked_load(result, reply.wall_s)
    )
    bench.loaded = True
    return f"{result.device}, {result.precision}, {result.load_s:.2f} s"


@_check("transcribe", "a result of the types in the schema, within the limits of the protocol")
def _transcribe(bench: Bench) -> str:
    """The tool cannot use an unreadable answer; NaN is not even JSON."""
    client = bench.ready()
    results = []
    for kind in ("warmup", *["timed"] * TIMED_CALLS):
        reply = bench.call(client, m.Method.TRANSCRIBE, bench.transcribe_params(kind))
        # Whether the clock is right is the next check.
        result = bench.result_of(
            reply,
            m.TranscribeResult,
            lambda result: answers.checked_transcript(result, LONGEST_S, bench.audio_s),
        )
        results.append((result, reply.wall_s))
    bench.transcriptions = results
    return repr(results[0][0].text[:60])


def _timed(bench: Bench) -> list[tuple[m.TranscribeResult, float]]:
    if not bench.transcriptions:
        raise SkipError("transcribe did not pass")
    return bench.transcriptions[1:]


@_check("clock", "seconds covers all the work of the call, and no more time than passed")
def _clock(bench: Bench) -> str:
    """A clock stopped before lazy or asynchronous work is done makes any engine look fast.

    The first call is not checked: it also reads the audio, which is not the engine's work. Of the
    others the best counts, because a busy machine delays answers.
    """
    timed = _timed(bench)
    for result, wall_s in bench.transcriptions:
        try:
            answers.checked_transcript(result, wall_s, bench.audio_s)
        except LimitError as problem:
            raise FailError(str(problem)) from problem
    outside, wall_s = min((wall_s - result.seconds, wall_s) for result, wall_s in timed)
    if outside > max(OUTSIDE_CLOCK_S, OUTSIDE_CLOCK_SHARE * wall_s):
        raise FailError(
            f"work outside the clock: {outside:.3f} s of {wall_s:.3f} s (lazy or asynchronous?)"
        )
    return f"{1000 * outside:.1f} ms of {1000 * wall_s:.1f} ms outside the clock"


@_check("repeat", "the same audio gives the same text")
def _repeat(bench: Bench) -> str:
    """Times of different work cannot be averaged; at temperature 0 nothing should vary."""
    texts = {result.text for result, _ in _timed(bench)}
    if len(texts) > 1:
        raise DoubtError(f"{len(texts)} texts in {TIMED_CALLS} calls: {sorted(texts)[:2]}")
    return f"{TIMED_CALLS} calls agree"


@_check("effective", "every contract setting by name; null if unknown")
def _effective(bench: Bench) -> str:
    """An unreported setting is a deviation: unknown work is not equal work."""
    result = _timed(bench)[-1][0]
    missing = [name for name in SETTING_NAMES if name not in result.effective]
    if missing:
        raise DoubtError(f"not reported: {', '.join(missing)}")
    strangers = sorted(set(result.observed) - set(result.effective))
    if strangers:
        raise DoubtError(f"in observed but not in effective: {', '.join(strangers)}")
    return f"{len(SETTING_NAMES)} settings, {len(result.observed)} read back"


@_check("unknown-params", "parameters it does not know are ignored")
def _unknown_params(bench: Bench) -> str:
    """Later versions add optional parameters; a worker that refuses them would then fail."""
    _timed(bench)
    client = bench.ready()
    params = bench.transcribe_params()
    for place in (params, params["audio"], params["contract"]):
        place["conformance_unknown"] = True
    bench.result_of(bench.call(client, m.Method.TRANSCRIBE, params), m.TranscribeResult)
    return "answered as usual"


def _bad_audio(bench: Bench, **changed: Any) -> str:
    client = bench.ready()
    params = bench.transcribe_params()
    params["audio"] |= changed
    return bench.expect_error(
        client, bench.call(client, m.Method.TRANSCRIBE, params), m.ErrorCode.AUDIO_UNUSABLE
    )


@_check("missing-audio", "error -32003, and the worker goes on")
def _missing_audio(bench: Bench) -> str:
    """An empty transcript of a file that was never read would count as a very fast engine."""
    return _bad_audio(bench, path=str(bench.folder / "no-such-audio.f32"))


@_check("wrong-length", "a file with another number of samples than given: error -32003")
def _wrong_length(bench: Bench) -> str:
    """Half a file is half the work: speed is only comparable over the same samples."""
    return _bad_audio(bench, samples=bench.subject.samples.size + 1)


@_check("unload", "an answer; transcribe after it: error -32006")
def _unload(bench: Bench) -> str:
    """Weights that stay in memory would be counted for the next model."""
    client = bench.ready()
    bench.result_of(bench.call(client, m.Method.UNLOAD), dict[str, Any])
    bench.loaded = False
    reply = bench.call(client, m.Method.TRANSCRIBE, bench.transcribe_params())
    return bench.expect_error(client, reply, m.ErrorCode.WRONG_STATE)


@_check("ids", "every answer carries its call's id, in the order of the calls")
def _ids(bench: Bench) -> str:
    """An answer that cannot be matched to its call could be the time of another one."""
    client = bench.greeted()
    sent = [2044, 2017]
    client.send(b"".join(encode(identity, "conformance.no_such_method", {}) for identity in sent))
    answered = [client.answer(bench.subject.timeout_s).id for _ in sent]
    if answered != sent:
        raise FailError(f"calls {sent} in one write were answered as {shown(answered)}")
    if wrong := bench.wrong_ids + client.wrong_ids:
        raise FailError(f"{wrong[0]} ({len(wrong)} like this)")
    return "exact, also for two calls in one write"


@_check("shutdown", "an answer, then exit status 0 before the deadline")
def _shutdown(bench: Bench) -> str:
    """A clean end proves that the answers before it did not come from a dying process."""
    client = bench.greeted()
    bench.result_of(bench.call(client, m.Method.SHUTDOWN), dict[str, Any])
    status = client.wait(bench.subject.timeout_s)
    bench.leftovers += client.leftovers(bench.subject.children_grace_s)
    bench.retire()
    if status is None:
        raise FailError(f"still running {bench.subject.timeout_s:g} s after its answer")
    if status != 0:
        raise FailError(f"ended by signal {-status}" if status < 0 else f"exit status {status}")
    return "exit status 0"


def _end_of_input(bench: Bench, client: Client, limit_s: float, doing: str) -> str:
    client.close_stdin()
    gone = client.wait(limit_s) is not None
    if gone:
        bench.leftovers += client.leftovers(bench.subject.children_grace_s)
    bench.retire()
    if not gone:
        raise FailError(f"still running {limit_s:g} s after the end of its input, {doing}")
    return f"gone, {doing}"


@_check("eof-idle", "at the end of stdin the worker exits")
def _eof_idle(bench: Bench) -> str:
    """A killed tool cannot end its workers: they must notice it."""
    bench.retire()
    return _end_of_input(bench, bench.greeted(), bench.subject.eof_idle_s, "idle")


@_check("eof-busy", "at the end of stdin the worker exits, also in the middle of a transcription")
def _eof_busy(bench: Bench) -> str:
    """An orphan that continues to compute slows down the next measurement on this machine."""
    bench.retire()
    client = bench.ready()
    repeats = math.ceil(_BUSY_AUDIO_S * SAMPLE_RATE / bench.subject.samples.size)
    client.send(encode(3001, m.Method.TRANSCRIBE, bench.transcribe_params(repeats=repeats)))
    try:
        client.answer(_BUSY_AFTER_S)
        doing = f"having transcribed {_BUSY_AUDIO_S} s of audio before it could be interrupted"
    except NoAnswerError as error:
        if not client.alive:
            raise FailError(f"{error}, before the end of its input") from error
        doing = "transcribing"
    return _end_of_input(bench, client, bench.subject.eof_busy_s, doing)


@_check("leftovers", "nothing that the worker started outlives it")
def _leftovers(bench: Bench) -> str:
    """Leftover helper processes take memory and processor time from the next measurement."""
    if "hello" in bench.unusable:
        raise SkipError("hello failed")
    if bench.leftovers:
        raise FailError(f"still running: {', '.join(bench.leftovers)}")
    return "nothing left running"


@_check("stdout", "stdout carries the protocol and nothing else; logs go to stderr")
def _stdout(bench: Bench) -> str:
    """One other line ends the cell: the rest of the output can no longer be trusted."""
    bench.retire()
    if bench.junk:
        raise FailError(f"{len(bench.junk)} other lines, such as {bench.junk[0]!r}")
    if "hello" in bench.unusable:
        raise SkipError("hello failed")
    return "only protocol messages"
