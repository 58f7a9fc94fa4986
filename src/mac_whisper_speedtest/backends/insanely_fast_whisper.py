"""insanely-fast-whisper: the pipeline of transformers with the settings of that command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mac_whisper_speedtest.backends.adapter import (
    PADS_AUDIO,
    LoadedModel,
    LoadParams,
    ModelUnusableError,
    Segment,
    Transcription,
    effective,
    temperature_argument,
    unusable_on,
    without_none,
)
from mac_whisper_speedtest.backends.backend import FLOATS, Backend
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings, SettingValue
from mac_whisper_speedtest.backends.recipe import APPLE_SILICON, Recipe
from mac_whisper_speedtest.backends.torch_device import (
    AUTO_PRECISION,
    TorchAdapter,
    facts,
    prepare,
)

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

BATCH_SIZE = 24  # the command line's defaults
CHUNK_S = 30
SMALLER_BATCHES = (16, 12, 8, 4, 2, 1)
_WORKING_SHARE = 0.8
"""Share of the memory that Metal recommends for one program; other programs use the GPU too."""
_FRAMES, _TOKENS = 1500, 448
"""Positions of a window of Whisper, in the encoder and in the decoder."""

# A window beyond these is decoded again at a higher temperature. transformers compresses tokens
# instead of letters, so its documentation recommends 1.35 instead of OpenAI's 2.4.
THRESHOLDS = {"compression_ratio_threshold": 1.35, "logprob_threshold": -1.0}

RECIPE = Recipe(
    name="insanely-fast-whisper",
    # The distribution of that name is only a command line, and its published form does not install.
    distribution="transformers",
    version="5.23.0",
    requirements=("torch==2.13.0",),
    size_bytes=903_000_000,
    size_on={APPLE_SILICON: 628_000_000},
    uses_torch=True,
)

BACKEND = Backend(
    name="insanely-fast-whisper",
    adapter="mac_whisper_speedtest.backends.insanely_fast_whisper:InsanelyFastWhisper",
    import_name="transformers",
    weights_format="huggingface",
    summary="transformers' pipeline: overlapping 30 s chunks, 24 at once; CPU, CUDA, Apple's MPS",
    devices=("cpu", "cuda", "mps"),
    precisions=FLOATS,
    compiles_shapes_on=("cuda", "mps"),
    fixed={
        "vad": False,
        "window": "chunked-30s",
        "batch_size": BATCH_SIZE,
        "condition_on_previous_text": False,  # all chunks are decoded at once
        "best_of": 1,
    },
    shipped={"language": None, "beam_size": 5},  # beams since transformers 5
    auto_precision=AUTO_PRECISION,
    remarks=(PADS_AUDIO,),
    notes=(
        (
            "The package of this name cannot be installed. The settings of its command line are "
            "applied to the pipeline of transformers, whose version is recorded."
        ),
        (
            "Flash attention is used on CUDA in float16 where flash-attn is installed, else sdpa: "
            "`attention` in `details`."
        ),
        (
            "On a Mac's GPU fewer chunks run at once if 24 would need more than 80 % of the memory "
            "that Metal recommends; the result then has that `batch_size` and a remark."
        ),
        "Its import takes many seconds, outside the clock.",
    ),
    recipe=RECIPE,
)


class InsanelyFastWhisper(TorchAdapter):
    """The ``automatic-speech-recognition`` pipeline over a folder of Hugging Face weights."""

    # Also what the pipeline would import later: transformers itself is lazy.
    modules = (
        *("torch", "transformers.pipelines", "transformers.models.whisper.modeling_whisper"),
    )
    distributions = (
        *("transformers", "torch", "tokenizers", "safetensors", "numpy", "flash-attn"),
    )

    def load(self, params: LoadParams) -> LoadedModel:
        """Load a folder; ``auto`` is float32 on a CPU and float16 elsewhere."""
        import torch
        from transformers import pipeline
        from transformers.utils import is_flash_attn_2_available

        if not Path(params.model.path).is_dir():  # transformers would look it up on the hub
            raise ModelUnusableError(f"{params.model.path} is not a folder")
        device, precision = prepare(params)
        flash = device == "cuda" and precision == "float16" and is_flash_attn_2_available()
        with unusable_on(OSError, ValueError, KeyError, TypeError):
            self._pipeline = pipeline(
                "automatic-speech-recognition",
                model=params.model.path,
                dtype=getattr(torch, precision),
                device=device,
                trust_remote_code=False,
                model_kwargs={"attn_implementation": "flash_attention_2" if flash else "sdpa"},
            )
        self._model = self._pipeline.model
        self._shape = shape_of(self._model)
        self._limit = _recommended_bytes() if device == "mps" else None
        self._multilingual = bool(self._model.generation_config.is_multilingual)
        self._batches = watch_batches(self._model)
        return LoadedModel(
            device=self._model.device.type,
            precision=str(self._model.dtype).removeprefix("torch."),
            details={
                "attention": self._model.config._attn_implementation,  # noqa: SLF001
                **facts(self._model.device.type),
            },
        )

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """The pipeline empties its input dictionary, so it gets a new one for every call."""
        self._batches.clear()
        result = self._pipeline(
            {"raw": audio, "sampling_rate": 16000},
            chunk_length_s=CHUNK_S,
            batch_size=self.chunks_at_once(contract),
            return_timestamps=contract.timestamps is not False,  # the command line's default
            ignore_warning=True,  # the report states that chunks are an approximation
            generate_kwargs=arguments(contract, multilingual=self._multilingual),
        )
        whole = [{"text": result["text"], "timestamp": (0.0, None)}]
        return Transcription(
            segments=[
                Segment(start or 0.0, len(audio) / 16000 if end is None else end, each["text"])
                for each in result.get("chunks", whole)
                for start, end in [each["timestamp"]]
            ],
            language=self._language(),
            tokens=sum(batch.tokens for batch in self._batches),
            text=result["text"],
        )

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back from the generation settings of every batch of chunks."""
        seen = {"language": self._language(), **self._batches[-1].settings}
        if self._multilingual:
            seen["task"] = self._prompt()[2]
        remarks = list(BACKEND.remarks)
        batch = self.chunks_at_once(contract)
        if batch != BATCH_SIZE:
            remarks.append(
                f"{batch} chunks at once, not {BATCH_SIZE}: by estimate, more would need more than "
                "Metal recommends on this Mac"
            )
        return effective(BACKEND.decodes_with(contract) | {"batch_size": batch}, seen, *remarks)

    def chunks_at_once(self, contract: DecodeContract) -> int:
        """The command line's number, or fewer on a GPU that shares the Mac's memory."""
        beams = BACKEND.decodes_with(contract)["beam_size"]
        assert isinstance(beams, int)
        return largest_batch(self._shape, beams, self._limit)

    def _language(self) -> str:
        return self._prompt()[1] if self._multilingual else "en"

    def _prompt(self) -> list[str]:
        """The tokens that the decoder started with: start of transcript, language, task."""
        prompt = self._batches[-1].prompt.tolist()
        tokens = self._pipeline.tokenizer.convert_ids_to_tokens(prompt)
        return [token.strip("<|>") for token in tokens]


def arguments(contract: DecodeContract, *, multilingual: bool) -> dict[str, Any]:
    """The contract as keyword arguments of ``generate``.

    Raises:
        ModelUnusableError: an English-only model, and a language or task other than English.
    """
    language, task = contract.language, contract.task or "transcribe"
    if not multilingual and (language not in {None, "en"} or task != "transcribe"):
        raise ModelUnusableError(f"an English-only model cannot {task} {language!r}")
    return without_none(
        # English-only models refuse both.
        language=language if multilingual else None,
        task=task if multilingual else None,
        num_beams=contract.beam_size,
        temperature=temperature_argument(contract),
        # By itself it would draw from the 50 most probable tokens; other backends draw from all.
        top_k=0 if any(contract.temperatures or ()) else None,
        **(THRESHOLDS if len(contract.temperatures or ()) > 1 else {}),
    )


class NetworkShape(NamedTuple):
    """The sizes that determine a network's memory.

    Attributes:
        weights_bytes: of all parameters.
        element_bytes: of a number in its computations.
        width: of a hidden state.
        heads: attention heads of a layer of the encoder.
        decoder_layers: their keys and values are kept.
    """

    weights_bytes: int
    element_bytes: int
    width: int
    heads: int
    decoder_layers: int


def shape_of(model: Any) -> NetworkShape:
    """The shape of a network of transformers."""
    config = model.config
    return NetworkShape(
        model.num_parameters() * model.dtype.itemsize,
        model.dtype.itemsize,
        config.d_model,
        config.encoder_attention_heads,
        config.decoder_layers,
    )


def batch_bytes(shape: NetworkShape, batch: int, beams: int) -> int:
    """An estimate of the memory for ``batch`` chunks at once, weights included.

    Per chunk: the states of one encoder layer (input, query, key, value, the four-fold inner state
    and the result), and its attention before and after softmax. Per beam: the keys and values of
    every decoder layer, for the audio and for the text. Not measured on a Mac.
    """
    states = _FRAMES * shape.width * 9
    attention = 2 * shape.heads * _FRAMES**2
    kept = beams * 2 * shape.decoder_layers * (_FRAMES + _TOKENS) * shape.width
    return shape.weights_bytes + batch * (states + attention + kept) * shape.element_bytes


def largest_batch(shape: NetworkShape, beams: int, recommended_bytes: int | None) -> int:
    """The number of chunks that fit into the recommended memory; all if that is unknown."""
    if recommended_bytes is None:
        return BATCH_SIZE
    limit = recommended_bytes * _WORKING_SHARE
    sizes = (BATCH_SIZE, *SMALLER_BATCHES)
    return next((each for each in sizes if batch_bytes(shape, each, beams) <= limit), 1)


def _recommended_bytes() -> int | None:
    """The memory that Metal recommends for one program (recommendedMaxWorkingSetSize)."""
    import torch

    return int(torch.mps.recommended_max_memory()) or None


class Batch(NamedTuple):
    """The settings, prompt and output size of one batch of chunks."""

    settings: dict[str, SettingValue]
    prompt: Any  # tensor of token ids
    tokens: int


def watch_batches(model: Any) -> list[Batch]:
    """Record every later batch of chunks: its settings before the call, which changes them."""
    seen: list[Batch] = []
    generate = model.generate_with_fallback

    def watched(*inputs: Any, **named: Any) -> Any:
        used = named["generation_config"]
        ladder = [float(value or 0.0) for value in named["temperatures"]]
        settings: dict[str, SettingValue] = {
            "beam_size": used.num_beams,
            # Without a threshold no window fails, so only the first temperature is used.
            "temperatures": ladder if used.compression_ratio_threshold else ladder[:1],
            "timestamps": bool(used.return_timestamps),
            "condition_on_previous_text": bool(used.condition_on_prev_tokens),
        }
        made = generate(*inputs, **named)
        tokens = sum(len(sequence) for sequence in made[0])
        seen.append(Batch(settings, named["decoder_input_ids"][0], tokens))
        return made

    model.generate_with_fallback = watched
    return seen
