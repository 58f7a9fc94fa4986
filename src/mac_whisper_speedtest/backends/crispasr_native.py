"""CrispASR's library through its C interface: whisper.cpp's functions under whisper.cpp's names.

Neither of the package's two classes can do equal work: ``Session`` always feeds previous text to
the next window, and ``CrispASR`` always falls back to higher temperatures. Both call these
functions, whose parameters have all settings.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, Structure, c_bool, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p
from typing import Any

from mac_whisper_speedtest.backends.adapter import BackendUnavailableError


class _Group(Structure):
    """A group of parameters, read by name as pywhispercpp's are."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


class _Greedy(_Group):
    _fields_ = (("best_of", c_int),)


class _Beams(_Group):
    _fields_ = (("beam_size", c_int), ("patience", c_float))


class ContextParams(Structure):
    """The beginning of ``whisper_context_params`` (crispasr.h); the library allocates it whole."""

    _fields_ = (("use_gpu", c_bool), ("flash_attn", c_bool), ("gpu_device", c_int))


class FullParams(Structure):
    """The beginning of ``whisper_full_params`` (crispasr.h); the library allocates it whole."""

    _fields_ = (
        *((name, c_int) for name in ("strategy", "n_threads", "n_max_text_ctx")),
        *((name, c_int) for name in ("offset_ms", "duration_ms")),
        *((name, c_bool) for name in ("translate", "no_context", "no_timestamps")),
        *((name, c_bool) for name in ("single_segment", "print_special", "print_progress")),
        *((name, c_bool) for name in ("print_realtime", "print_timestamps", "token_timestamps")),
        *(("thold_pt", c_float), ("thold_ptsum", c_float), ("max_len", c_int)),
        *(("split_on_word", c_bool), ("max_tokens", c_int), ("debug_mode", c_bool)),
        *(("audio_ctx", c_int), ("tdrz_enable", c_bool), ("suppress_regex", c_void_p)),
        *(("initial_prompt", c_void_p), ("carry_initial_prompt", c_bool)),
        *(("prompt_tokens", c_void_p), ("prompt_n_tokens", c_int)),
        *(("language", c_void_p), ("detect_language", c_bool)),
        *(("suppress_blank", c_bool), ("suppress_nst", c_bool)),
        *((name, c_float) for name in ("temperature", "max_initial_ts", "length_penalty")),
        *((name, c_float) for name in ("temperature_inc", "entropy_thold", "logprob_thold")),
        *(("no_speech_thold", c_float), ("greedy", _Greedy), ("beam_search", _Beams)),
        *(("callbacks", c_void_p * 10), ("grammar_rules", c_void_p)),
        *(("n_grammar_rules", c_size_t), ("i_start_rule", c_size_t)),
        *(("grammar_penalty", c_float), ("vad", c_bool)),
    )


_LogCallback = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "whisper_print_system_info": (c_char_p, ()),
    "whisper_context_default_params_by_ref": (POINTER(ContextParams), ()),
    "whisper_free_context_params": (None, (c_void_p,)),
    "whisper_init_from_file_with_params_by_ref": (c_void_p, (c_char_p, c_void_p)),
    "whisper_free": (None, (c_void_p,)),
    "whisper_full_default_params_by_ref": (POINTER(FullParams), (c_int,)),
    "whisper_free_params": (None, (c_void_p,)),
    "whisper_full_by_ref": (c_int, (c_void_p, c_void_p, c_void_p, c_int)),
    "whisper_full_n_segments": (c_int, (c_void_p,)),
    "whisper_full_get_segment_t0": (c_int64, (c_void_p, c_int)),
    "whisper_full_get_segment_t1": (c_int64, (c_void_p, c_int)),
    "whisper_full_get_segment_text": (c_char_p, (c_void_p, c_int)),
    "whisper_full_lang_id": (c_int, (c_void_p,)),
    "whisper_lang_str": (c_char_p, (c_int,)),
    "whisper_print_timings": (None, (c_void_p,)),
    "whisper_reset_timings": (None, (c_void_p,)),
    "crispasr_params_set_language": (None, (c_void_p, c_char_p)),
    "crispasr_params_set_temperature": (None, (c_void_p, c_float)),
    "crispasr_params_set_best_of": (None, (c_void_p, c_int)),
    "crispasr_params_set_vad": (None, (c_void_p, c_int)),
}


class Library:
    """The native library: a method for each C function that is used.

    Raises:
        BackendUnavailableError: it cannot be loaded, lacks a function, or has another layout of
            parameters than this module.
    """

    def __init__(self, path: str) -> None:
        try:
            self._library = ctypes.CDLL(path)
            for name, (result, types) in _SIGNATURES.items():
                function = getattr(self._library, name)
                function.restype, function.argtypes = result, types
        except (OSError, AttributeError) as error:
            raise BackendUnavailableError(f"crispasr's library: {error}") from error
        self._log = _LogCallback()
        if wrong := self._misplaced():
            raise BackendUnavailableError(
                f"crispasr's library has another layout of parameters than 0.8.45: {wrong}"
            )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def whisper_log_set(self, keep: Callable[[int, str], None] | None) -> None:
        """Pass the library's log lines to ``keep``; ``None``: to stderr again."""
        heard = keep  # for the type checker: a parameter may change before it is called

        def pass_on(level: int, text: bytes, _user: object) -> None:
            if heard is not None:
                heard(level, text.decode("utf-8", errors="replace"))

        self._log = _LogCallback() if keep is None else _LogCallback(pass_on)
        self._library.whisper_log_set(self._log, None)

    def _misplaced(self) -> str:
        """The first parameter with a wrong value; empty if all are right.

        The parameters have no size or version. So known defaults, and values set by the library's
        own functions, are checked around every field that an adapter writes.
        """
        word = c_char_p(b"de")
        expected = {
            "n_max_text_ctx": 16384,
            "no_context": True,
            "no_timestamps": False,
            "print_progress": True,
            "print_timestamps": True,
            "thold_pt": 0.01,
            "language": ctypes.cast(word, c_void_p).value,
            "suppress_blank": True,
            "suppress_nst": False,
            "temperature": 0.4,
            "max_initial_ts": 1.0,
            "length_penalty": -1.0,
            "temperature_inc": 0.2,
            "entropy_thold": 2.4,
            "logprob_thold": -1.0,
            "no_speech_thold": 0.6,
            "grammar_penalty": 100.0,
            "vad": True,
        }
        pointer = self.whisper_full_default_params_by_ref(1)
        try:
            self.crispasr_params_set_language(pointer, word)
            self.crispasr_params_set_temperature(pointer, 0.4)
            self.crispasr_params_set_best_of(pointer, 7)
            self.crispasr_params_set_vad(pointer, 1)
            params = pointer.contents
            found = {name: getattr(params, name) for name in expected}
            groups = (params.strategy, params.greedy.best_of, params.beam_search.beam_size)
        finally:
            self.whisper_free_params(pointer)
        if groups != (1, 7, 5):
            return f"strategy, best_of and beam_size are {groups}"
        for name, value in expected.items():
            if found[name] != (c_float(value).value if isinstance(value, float) else value):
                return f"{name} is {found[name]!r}"
        return ""
