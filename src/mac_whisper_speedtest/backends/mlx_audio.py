"""mlx-audio's Whisper: MLX with the tokenizer of transformers; Metal, or a slow CPU build."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.backends import mlx_runtime
from mac_whisper_speedtest.backends.adapter import (
    LoadedModel,
    LoadParams,
    ModelUnusableError,
    Transcription,
    effective,
    openai_transcription,
    temperature_argument,
    unusable_on,
    without_none,
)
from mac_whisper_speedtest.backends.backend import FLOATS, Backend
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings
from mac_whisper_speedtest.backends.recipe import APPLE_SILICON, Recipe

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

BACKEND = Backend(
    name="mlx-audio",
    adapter="mac_whisper_speedtest.backends.mlx_audio:MlxAudio",
    import_name="mlx_audio",
    # transformers' folder, because the library decodes with the tokenizer in it; MLX's has none.
    weights_format="huggingface",
    summary="Whisper in mlx-audio; Metal on Apple Silicon, a slow CPU build on Linux (tests only)",
    devices=mlx_runtime.DEVICES,
    precisions=FLOATS,
    compiles_shapes_on=mlx_runtime.DEVICES[1:],
    fixed={"beam_size": 1, "window": "sequential-30s", "batch_size": 1, "vad": False},
    shipped={
        "language": None,  # detected, unless the model knows only English
        "temperatures": mlx_runtime.LADDER,
        "condition_on_previous_text": True,
    },
    auto_precision=mlx_runtime.AUTO_PRECISION,
    notes=(
        "It lists the tokens to suppress again for every window, inside the clock.",
        *mlx_runtime.NOTES,
    ),
    recipe=Recipe(
        name="mlx-audio",
        distribution="mlx-audio",
        version="0.6.2",
        requirements=mlx_runtime.REQUIREMENTS,
        # These read and play sound files, and filter for other models; miniaudio has no wheel for
        # Linux on aarch64.
        overrides=tuple(
            f'{name}; python_version < "0"' for name in ("miniaudio", "sounddevice", "scipy")
        ),
        glibc=mlx_runtime.GLIBC,
        size_bytes=283_000_000,
        size_on={APPLE_SILICON: 375_000_000},
        notes=("only Whisper: the catalog has no verified weights for its other networks",),
    ),
)


class MlxAudio(mlx_runtime.MlxWhisperAdapter):
    """``generate`` of the library's Whisper, on a model built in the requested precision."""

    modules = (
        "mlx_audio.stt.models.whisper.whisper",
        "transformers.models.whisper.processing_whisper",
    )
    distributions = ("mlx-audio", "transformers", "tokenizers")

    def load(self, params: LoadParams) -> LoadedModel:
        """Build the model as the library's ``load_model`` does, which supports only float16."""
        import mlx.core as mx
        from mlx_audio.stt.models.whisper import Model, ModelConfig
        from mlx_audio.utils import load_config, load_weights

        device = self.choose_device(params.device)
        precision = mlx_runtime.float_type(params, mlx_runtime.NATIVE)
        folder = Path(params.model.path)
        with unusable_on(OSError, ValueError, KeyError, TypeError, RuntimeError):
            model = Model(ModelConfig.from_dict(load_config(folder)), getattr(mx, precision))
            model.load_weights(list(model.sanitize(load_weights(folder)).items()))
            mx.eval(model.parameters())
            model.eval()
            Model.post_load_hook(model, folder)
        if model._processor is None:  # noqa: SLF001 - it only warns
            raise ModelUnusableError(f"{folder.name} has no tokenizer that transformers can load")
        _add_times(model._processor.tokenizer, model.dims.n_vocab)  # noqa: SLF001
        return self.loaded(SimpleNamespace(model=model), model, params, device, precision)

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """The result is complete when the call returns; ``synchronize`` waits for MLX's queue."""
        self._options.clear()
        result = self._holder.model.generate(
            audio,
            fp16=self._half,
            **without_none(
                language=contract.language,
                task=contract.task,
                temperature=temperature_argument(contract),
                best_of=contract.best_of,
                condition_on_previous_text=contract.condition_on_previous_text,
                return_timestamps=contract.timestamps,
            ),
        )
        return openai_transcription(vars(result), self.language(result.language))

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back from the decoding options of each window."""
        return effective(BACKEND.decodes_with(contract), self.observed())


def _add_times(tokenizer: Any, vocabulary: int) -> None:
    """Add the tokens ``<|0.00|>`` to ``<|30.00|>`` if the tokenizer's file ends before them.

    The library looks them up by their text and treats a missing token as the end of the transcript.
    Files of older repositories, and CTranslate2's, omit them.

    Raises:
        ModelUnusableError: they are not the last tokens of the vocabulary.
    """
    texts = [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
    known = tokenizer.get_vocab()
    tokenizer.add_tokens([text for text in texts if text not in known])
    if tokenizer.convert_tokens_to_ids(texts) != list(range(vocabulary - 1501, vocabulary)):
        raise ModelUnusableError(f"the tokenizer does not end with times at token {vocabulary - 1}")
