# ruff: noqa: PT012 - the blocks are what is tested
"""Signals: raised where they may be, kept where they may not, and never lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from mac_whisper_speedtest.interrupts import as_keyboard_interrupt, held_back, released

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_block_that_must_finish_finishes_and_is_interrupted_then(number: signal.Signals) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), held_back():
        signal.raise_signal(number)
        done.append(number)
    assert done == [number]


def test_of_blocks_in_blocks_the_outermost_is_interrupted() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), held_back():
        with held_back():
            signal.raise_signal(signal.SIGTERM)
        with held_back(then_drop=True):
            done.append("dropped nothing of the outer block's")
    assert done


def test_an_ending_program_is_not_interrupted() -> None:
    with held_back(then_drop=True):
        signal.raise_signal(signal.SIGTERM)
    with held_back():
        pass


def test_a_signal_is_not_lost_to_an_error_in_the_block() -> None:
    with pytest.raises(KeyboardInterrupt), held_back():
        signal.raise_signal(signal.SIGTERM)
        raise ValueError


def test_a_released_block_is_interrupted_by_what_came_before_it() -> None:
    done = []
    with held_back(then_drop=True):
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), released():
            done.append("too late")
    assert done == []


def test_a_released_block_is_interrupted_once_and_what_cleans_up_after_it_is_not() -> None:
    done = []
    with held_back(then_drop=True):
        with pytest.raises(KeyboardInterrupt), released():
            try:
                signal.raise_signal(signal.SIGHUP)
            finally:
                signal.raise_signal(signal.SIGINT)
                done.append("cleaned up")
        signal.raise_signal(signal.SIGINT)
        done.append("sealed")
    assert done == ["cleaned up", "sealed"]


def test_a_released_block_that_ends_by_itself_holds_signals_back_again() -> None:
    with held_back(then_drop=True):
        with released():
            pass
        signal.raise_signal(signal.SIGTERM)


def test_an_interrupt_that_a_library_turns_into_another_error_is_one_all_the_same() -> None:
    def library() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("failed to import") from None

    with held_back(then_drop=True):
        with pytest.raises(KeyboardInterrupt), released():
            library()
        with pytest.raises(ImportError), released():
            raise ImportError
    code = (
        "import signal, sys\n"
        "from mac_whisper_speedtest import __main__, cli\n"
        "def library():\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "    except KeyboardInterrupt:\n"
        "        sys.excepthook(*sys.exc_info())\n"
        "        raise ImportError('failed to import') from None\n"
        "cli.main = library\n"
        "sys.exit(__main__.main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_handlers_are_afterwards_as_they_were_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with as_keyboard_interrupt(), held_back(then_drop=True):
        signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with as_keyboard_interrupt():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_threads_hold_nothing_back() -> None:
    done = []

    def block() -> None:
        with held_back(), released():
            done.append(True)

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert done == [True]


def test_an_interrupt_in_a_destructor_is_raised_where_it_counts() -> None:
    code = (
        "import signal, time\n"
        "from mac_whisper_speedtest import interrupts\n"
        "class Doomed:\n"
        "    def __del__(self):\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "interrupts.handle_for_good()\n"
        "try:\n"
        "    doomed = Doomed()\n"
        "    del doomed\n"
        "    time.sleep(10)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
