"""The description of a backend for the tool's process: data only; its library is not imported."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends.contract import (
    ESSENTIAL,
    DecodeContract,
    Deviation,
    SettingValue,
    declared,
    deviations,
)
from mac_whisper_speedtest.backends.recipe import Recipe, SwiftRecipe, is_macos, unsuited
from mac_whisper_speedtest.catalog import (
    LocationKind,
    ModelInfo,
    PublishedFile,
    Timeouts,
    WeightsLocation,
)

_SHA256 = re.compile(r"[0-9a-f]{64}")

GPU = "gpu"
"""The value of ``--device`` for any GPU; every backend with GPU support accepts it."""
_GPUS_OF_MACS = ("metal", "mps", GPU)
FLOATS = ("float16", "float32")
"""The precisions of backends that compute in half or single precision."""
_GPUS_ELSEWHERE = ("cuda", "rocm", "vulkan", GPU)

NO_HUB = "http://127.0.0.1:9"
"""An address where nothing answers, in place of a model hub, for programs without another way to
prevent downloads. While weights are checked, the listener of `worker.isolation` replaces it."""


@dataclass(frozen=True, slots=True)
class BackendModel:
    """What a backend's description states about one model; empty fields come from the catalog.

    Attributes:
        path: the file or folder with the weights, instead of the official ones; hashed when used.
        precision: of the stored weights.
        license: of the weights; needs a path.
        size_class: tiny, base, small, medium or large; determines the time-outs.
        timeouts: replace the size class's.
        repository: on the hub, where the weights at ``path`` come from, for the record.
        revision: the commit there.
        files: at ``path``: the ``name`` relative to it and, where known, ``size`` in bytes and
            ``sha256``. A run refuses a missing or different file.
    """

    path: Path | None = None
    precision: str = ""
    license: str = ""
    size_class: str = ""
    timeouts: Timeouts | None = None
    repository: str = ""
    revision: str = ""
    files: tuple[PublishedFile, ...] = ()

    def problem(self) -> str:
        """Why it cannot be used: the key and its error; empty when it can be used."""
        if self.size_class and self.size_class not in catalog.size_classes():
            known = ", ".join(catalog.size_classes())
            return f"size_class is {self.size_class!r}, not one of {known}"
        if self.timeouts is not None:
            for each in fields(self.timeouts):
                value = getattr(self.timeouts, each.name)
                if not 0 < value < math.inf:
                    return f"timeouts.{each.name} is {value!r}, not a positive number"
        for file in self.files:
            inside = PurePosixPath(file.name)
            if inside.is_absolute() or ".." in inside.parts or file.name in {"", "."}:
                return f"files: {file.name!r} is not a path inside its weights"
            if file.sha256 is not None and not _SHA256.fullmatch(file.sha256):
                return f"files: the sha256 of {file.name} is not 64 lower-case hexadecimal digits"
        if self.path is None:
            needing = ("license", "repository", "revision", "files")
            if stated := [name for name in needing if getattr(self, name)]:
                return f"{stated[0]} describes the backend's own weights, which need a path"
        return ""

    def applied_to(self, info: ModelInfo) -> ModelInfo:
        """``info`` with the stated values in place of the catalog's."""
        size_class = self.size_class or info.size_class
        timeouts = self.timeouts or catalog.size_classes()[size_class]
        info = replace(info, size_class=size_class, timeouts=timeouts)
        if self.path is None:
            return info
        where = WeightsLocation(
            LocationKind.DESCRIPTION, "named in its description", self.path.name, for_run=True
        )
        return replace(
            info,
            license=self.license or "not stated",
            repository=self.repository,
            revision=self.revision or None,
            files=self.files,
            path=self.path,
            hosted=None,
            source=None,
            unavailable="",
            locations=(where,),
        )


@dataclass(frozen=True, slots=True)
class Backend:
    """Something that can be measured.

    Attributes:
        name: in commands and tables; without spaces, control characters, ``@``, ``:`` and ``/``.
        adapter: ``module:Class`` of a Python adapter, which only the worker imports; empty for a
            program.
        import_name: the module of the library. Where this Python lacks it, the backend is not
            installed, unless ``python`` is given; empty: usable everywhere.
        weights_format: of the weights that the tool finds or converts; empty for only those in
            ``models``.
        weights_precision: of these stored weights.
        weights_follow_precision: whether ``--precision`` also chooses the weights' precision: for a
            library that never casts them.
        summary: one line for ``speedtest backends list``.
        command: for a program, its argument vector; words that begin with ``./`` or ``../`` are
            relative to the file.
        arguments: for a Swift bridge, the arguments of its program.
        cwd: for a program, the folder it starts in; else a scratch folder.
        environment: variables added to the worker's environment.
        variables: names of the user's variables that its worker also gets.
        search_path: folders put in front of the adapter's import path.
        python: the interpreter for a Python adapter: a path, or a name on ``PATH``; empty for this
            one, or for its environment's.
        models: its statements about models, such as its own weights' path; by canonical name.
        networks: for a backend that is not Whisper, the networks that it can run. When it is
            named beside a Whisper model, it runs the first. Empty for Whisper backends, and for
            backends that run any weights of their format, only on request.
        devices: the values of ``--device`` it accepts itself, besides ``auto``. Empty for "known
            when it loads".
        precisions: the values of ``--precision`` it can compute in, besides ``auto``. Empty for
            "known when it loads".
        compiles_shapes_on: the devices, as its adapter reports them, on which kernels or graphs are
            created or loaded for each length: there every recording of a set is warmed up.
        fixed: contract settings that it always uses, even if others are requested; ``None`` for a
            setting that it does not have.
        instead: contract settings that make it lose words → the values to request in their place,
            unless the contract leaves them to the library.
        shipped: the defaults of its library that differ from ``greedy``.
        auto_precision: the precision of ``auto``, in words.
        remarks: differences in its results that no setting expresses; some occur only under a
            certain contract.
        notes: other facts for readers of its figures, a sentence each.
        recipe: how its environment is created or its program built; ``None`` when the tool can do
            neither.
        version: the release to measure, from ``name@version``; empty for the installed one.
        precision: to compute in, from ``name:precision``; empty for the run's.
        managed: whether to run it from its own environment even if it is importable here.
        source: where this description was read from; set by the tool.
        broken: why an installed description cannot be used; set by the tool.
    """

    name: str
    adapter: str = ""
    import_name: str = ""
    weights_format: str = ""
    weights_precision: str = "float16"
    weights_follow_precision: bool = False
    summary: str = ""
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    cwd: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    variables: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()
    python: str = ""
    models: Mapping[str, BackendModel] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    compiles_shapes_on: tuple[str, ...] = ()
    fixed: Mapping[str, SettingValue] = field(default_factory=dict)
    instead: Mapping[str, SettingValue] = field(default_factory=dict)
    shipped: Mapping[str, SettingValue] = field(default_factory=dict)
    auto_precision: str = ""
    remarks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    recipe: Recipe | SwiftRecipe | None = None
    version: str = ""
    precision: str = ""
    managed: bool = False
    source: str = "built in"
    broken: str = ""

    @property
    def label(self) -> str:
        """The name with the requested version and precision: unique in a run."""
        version = f"@{self.version}" if self.version else ""
        precision = f":{self.precision}" if self.precision else ""
        return f"{self.name}{version}{precision}"

    def network_for(self, model: str) -> str | None:
        """The network it runs when ``model`` is requested; ``None`` if it runs none for it.

        Raises:
            UsageError: the catalog has no such model.
        """
        family = catalog.model(model).family
        if not self.networks:
            kind = catalog.weights_formats().get(self.weights_format)
            return model if family in {"whisper", kind.family if kind else ""} else None
        if model in self.networks:
            return model
        # Its own network competes with Whisper models of the catalog, but not with models that are
        # requested by repository.
        return self.networks[0] if family == "whisper" and not catalog.is_custom(model) else None

    def device_for(self, asked: str) -> str | None:
        """Its own name for the device ``asked``; ``None`` if it has no such device.

        ``gpu`` is the GPU of this machine under any name; on a Mac so are ``metal``
        and ``mps``. One that lists no devices decides when it loads.
        """
        names = _GPUS_OF_MACS if is_macos() else _GPUS_ELSEWHERE
        if asked == "auto" or not self.devices or asked in self.devices_here:
            return asked
        if asked == GPU or (is_macos() and asked in names):
            return next((each for each in names if each in self.devices), None)
        return None

    @property
    def devices_here(self) -> tuple[str, ...]:
        """Its devices, without kinds of GPU that this system cannot have."""
        absent = _GPUS_ELSEWHERE if is_macos() else _GPUS_OF_MACS
        return tuple(each for each in self.devices if each == GPU or each not in absent)

    def decodes_with(self, contract: DecodeContract) -> dict[str, SettingValue]:
        """The expected settings of its decoding when ``contract`` is requested."""
        return declared(self.library_contract(contract), fixed=self.fixed, shipped=self.shipped)

    def library_contract(self, contract: DecodeContract) -> DecodeContract:
        """The contract to pass to the library: ``contract`` with `instead` applied."""
        settings = contract.settings()
        changed: dict[str, Any] = {  # the field's own types
            name: value for name, value in self.instead.items() if settings[name] is not None
        }
        return replace(contract, **changed)

    def refuses(self, contract: DecodeContract) -> Deviation | None:
        """The first essential setting of ``contract`` that it does not support, if any."""
        for deviation in deviations(contract, self.decodes_with(contract)):
            if deviation.setting in ESSENTIAL and deviation.effective is not None:
                return deviation
        return None

    def made_for_here(self) -> bool:
        """Whether it can run on this platform: an environment or a program of it, or in place."""
        recipe = self.recipe
        if recipe is None or self.command or self.python or not unsuited(recipe):
            return True
        return bool(self.adapter) and self.importable_here()

    def importable_here(self) -> bool:
        """Whether this interpreter could import the backend's library. Does not import it."""
        if not self.import_name or self.search_path:
            return True  # only the worker can check another path
        try:
            # Only the top-level name: looking for a.b would import a.
            return importlib.util.find_spec(self.import_name.partition(".")[0]) is not None
        except (ImportError, ValueError):
            return False

    def model_info(self, model: str, precision: str = "auto") -> ModelInfo:
        """The facts about ``model`` for this backend, from the catalog and its description.

        Args:
            model: a canonical name, or ``org/name@REVISION``; a backend that is not Whisper runs
                its own network when a Whisper model is requested.
            precision: of the run; the backend's own, if it has one, overrides it.

        Raises:
            UsageError: the catalog has no such model.
        """
        network = self.network_for(model) or model
        own = self.models.get(network, BackendModel())
        stored = own.precision or self.weights_precision
        computed = self.precision or precision
        if own.path is None and self.weights_follow_precision and computed != "auto":
            stored = computed
        return own.applied_to(
            catalog.model_info(network, self.weights_format, stored, backend=self.name)
        )
