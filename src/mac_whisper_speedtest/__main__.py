"""The command line as a process: signals from its first moment on, and streams that may break.

``python -m mac_whisper_speedtest`` is the same as ``speedtest``. An import that is interrupted ends
in a traceback, so signals are handled before anything is imported that Python has not loaded
anyway. ``signal`` is such an import: it needs ``enum``, ``functools`` and ``collections``, which
take as long as all of Python's start. ``_signal`` is the part of it in C.
"""

import _signal as signal  # type: ignore[import-not-found]  # typeshed has only signal
import atexit
import os
import sys

_INTERRUPTED = 130


def main() -> int:
    """Run the command line as this process, and return its exit code."""
    _end_at_a_signal(_INTERRUPTED)
    ended_with: list[int] = []
    atexit.register(_end, ended_with)
    from mac_whisper_speedtest import interrupts, streams
    from mac_whisper_speedtest.errors import ExitCode

    output = streams.make_lossy()
    try:
        interrupts.handle_for_good()
        code = _code_of_command_line()
        _end_at_a_signal(code)
    except KeyboardInterrupt:
        code = _INTERRUPTED
        _end_at_a_signal(code)
    sys.stdout.flush()
    lost = output.lost()
    if lost and code == ExitCode.OK:
        sys.stderr.write(f"speedtest: error: cannot write the output: {lost}\n")
        code = ExitCode.STORAGE
        _end_at_a_signal(code)
    ended_with.append(code)
    return code


def _code_of_command_line() -> int:
    from mac_whisper_speedtest import cli, interrupts

    try:
        return cli.main()
    except Exception:  # noqa: BLE001 - a defect: shown completely, except secrets
        if interrupts.was_raised():
            return _INTERRUPTED
        import traceback

        from mac_whisper_speedtest.privacy import scrub

        sys.stderr.write(scrub(traceback.format_exc()))
        return 1


def _end(ended_with: list[int]) -> None:
    """End the process here, after all threads and other exit handlers.

    Python itself would first drop the handlers of signals; and if an interrupt had hit some
    library's ``exec``, it would now kill itself by SIGINT, even if that interrupt was handled.
    """
    if ended_with:
        sys.stderr.flush()
        os._exit(ended_with[0])


def _end_at_a_signal(code: int) -> None:
    """Let signals end the process at once: before its work begins or after it is done."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # by nohup
            signal.signal(number, lambda *_: os._exit(code))


if __name__ == "__main__":
    sys.exit(main())
