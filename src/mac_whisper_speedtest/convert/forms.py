"""The forms this program knows. A new one is a module with a ``FORM`` and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from mac_whisper_speedtest.convert import ctranslate2, ggml, huggingface, mlx, mlx_npz, openai
from mac_whisper_speedtest.convert.form import Form
from mac_whisper_speedtest.errors import UsageError, WeightsError

FORMS: Mapping[str, Form] = MappingProxyType(
    {
        form.name: form
        for form in (
            ctranslate2.FORM,
            ggml.FORM,
            huggingface.FORM,
            mlx.FORM,
            mlx_npz.FORM,
            openai.FORM,
        )
    }
)


def form_named(name: str) -> Form:
    """The form of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    try:
        return FORMS[name]
    except KeyError:
        raise UsageError(f"form {name!r} is not one of {', '.join(FORMS)}") from None


def detect_form(path: Path) -> str:
    """The name of the form that a file or folder holds, judged without reading the weights.

    Raises:
        WeightsError: it holds none (the message lists what was looked for) or several.
    """
    found = [form.name for form in FORMS.values() if form.detect(path)]
    if len(found) == 1:
        return found[0]
    if found:
        raise WeightsError(
            f"{path} holds several forms of weights: {', '.join(found)}",
            hint="name the one to read",
        )
    looked_for = "; ".join(f"{form.name}: {form.looks_like}" for form in FORMS.values())
    state = "holds no known form of weights" if path.exists() else "does not exist"
    raise WeightsError(f"{path} {state}", hint=f"looked for {looked_for}")
