"""Calling uv: quietly or on the terminal, with failures in one sentence."""

from __future__ import annotations

import configparser
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest.backends.backend import Recipe
from mac_whisper_speedtest.errors import SpeedtestError, StorageError, UsageError
from mac_whisper_speedtest.privacy import scrub

_LAST_LINES = 6
NO_INDEX = "UV_NO_INDEX"
"""Stands for pip's ``no-index``. uv has an option of that name, but reads no variable for it."""

_FULL_DISK = re.compile(r"no space left on device|os error 28\b|disk quota exceeded", re.IGNORECASE)


def call(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, visible: bool = False
) -> str:
    """Run uv and return what it printed.

    Args:
        arguments: of uv; its own configuration files are not read.
        environment: variables for it, weaker than those that the user has set.
        visible: let it write its progress to this program's stderr, which should be a terminal.

    Raises:
        StorageError: the disk became full.
        SpeedtestError: it ended with another status than 0.
    """
    import uv

    quiet = [] if visible else ["--quiet"]
    variables = {**(environment or {}), **os.environ}
    words = [str(each) for each in arguments]
    if words[0] == "pip" and variables.get(NO_INDEX):
        words.append("--no-index")
    # Waited for in a call that kills it when this process is interrupted.
    done = subprocess.run(
        [uv.find_uv_bin(), "--no-config", *quiet, *words],
        stdout=subprocess.PIPE,
        stderr=None if visible else subprocess.PIPE,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=variables,
    )
    if done.returncode == 0:
        return done.stdout
    said = scrub(done.stderr or "")
    if _FULL_DISK.search(said):
        raise StorageError(
            "the disk became full while uv was installing",
            hint="free some space, and call this again: what was fetched is kept in uv's cache",
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = " / ".join(lines[-_LAST_LINES:])
    why = last or ("see above" if visible else f"status {done.returncode}")
    raise SpeedtestError(
        f"uv {arguments[0]} failed: {why}",
        hint="check the connection to your package index, and the free disk space",
    )


def version() -> str:
    """The version of uv."""
    from importlib import metadata

    return metadata.version("uv")


# The package index that pip is configured for, in the words that uv reads.
#
# People set up an index, a certificate or a folder of wheels once, for pip; uv looks at none of
# that. pip's own files are read here, because asking pip itself takes longer than making an
# environment.


# pip's option -> uv's variable, and what uv wants between several values.
_VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "cert": ("SSL_CERT_FILE", " "),
    "no-index": ("UV_NO_INDEX", " "),
}
_SECTIONS = ("global", "install")  # the later one wins


def pip_options(environ: Mapping[str, str], files: Iterable[Path]) -> dict[str, str]:
    """The options of pip for installing, by name: ``index-url``, ``find-links`` and so on.

    Args:
        environ: where ``PIP_INDEX_URL`` and the like stand; they win over every file.
        files: pip's files, the strongest last; one that is missing or unreadable is left out.
    """
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip will complain of its own file; this tool need not
        for section in _SECTIONS:
            if parser.has_section(section):
                values = {key.replace("_", "-"): value for key, value in parser.items(section)}
                found[section] |= values
    told = {
        key.removeprefix("PIP_").lower().replace("_", "-"): value
        for key, value in environ.items()
        if key.startswith("PIP_") and value
    }
    return {**found["global"], **found["install"], **told}


def pip_files(environ: Mapping[str, str]) -> list[Path]:
    """Where pip looks for its configuration, the strongest last; not all of these exist."""
    home = Path.home()
    if environ.get("PIP_CONFIG_FILE") == os.devnull:
        return []  # pip's way to say "none of them"
    if sys.platform == "darwin":
        library = home / "Library" / "Application Support" / "pip"
        machine = [Path("/Library/Application Support/pip/pip.conf")]
        own = (library if library.is_dir() else home / ".config" / "pip") / "pip.conf"
    else:
        shared = environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
        machine = [Path(folder) / "pip" / "pip.conf" for folder in shared.split(os.pathsep)]
        machine.append(Path("/etc/pip.conf"))
        own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    files = [*machine, home / ".pip" / "pip.conf", own, Path(sys.prefix) / "pip.conf"]
    if named := environ.get("PIP_CONFIG_FILE"):
        files.append(Path(named))
    return files


def uv_variables(options: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that make uv use what pip's ``options`` name."""
    variables = {}
    for option, (variable, between) in _VARIABLES.items():
        if values := options.get(option, "").split():
            variables[variable] = between.join(values)
    if variables.get("UV_NO_INDEX", "").lower() in {"0", "false", "no", "off"}:
        del variables["UV_NO_INDEX"]
    return variables


def for_locking() -> dict[str, str]:
    """What uv is told when it makes a lock: one index, and no other place.

    A folder of wheels or a partial mirror holds a few of a release's files, and a lock has to list
    all of them, for every platform.
    """
    variables = uv_variables(pip_options(os.environ, pip_files(os.environ)))
    return {
        name: value
        for name, value in variables.items()
        if name not in {"UV_INDEX", "UV_FIND_LINKS"}
    }


def for_installing(*, find_links: bool = True) -> dict[str, str]:
    """What uv is told when it installs a lock, whose hashes say which files will do.

    Args:
        find_links: whether to look into pip's folders of wheels as well. Not when torch's build
            from the index is wanted: a ``+cpu`` wheel there would be preferred to it.
    """
    variables = uv_variables(pip_options(os.environ, pip_files(os.environ)))
    if not find_links:
        variables.pop("UV_FIND_LINKS", None)
    # As pip does it: every index is looked at. Nobody can slip in a package, for all are hashed.
    variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return variables


def wheel_folders() -> list[Path]:
    """The folders of wheels on this machine that pip, or uv, is configured with."""
    variables = uv_variables(pip_options(os.environ, pip_files(os.environ))) | {
        key: value for key, value in os.environ.items() if key == "UV_FIND_LINKS"
    }
    words = variables.get("UV_FIND_LINKS", "").split(",")
    folders = [Path(word.removeprefix("file://")) for word in words if word]
    return [folder for folder in folders if folder.is_dir()]


# Which Python an environment is made with: this one, or another one that is on this machine.


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter: where it is, and its full version."""

    path: str
    version: str


def minor(version: str) -> str:
    """``3.11`` of ``3.11.7``."""
    return ".".join(version.split(".")[:2])


def own() -> str:
    """The major and minor version of this Python."""
    return minor(platform.python_version())


def own_fits(recipe: Recipe) -> bool:
    """Whether this Python is in the recipe's range."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(recipe.python).contains(platform.python_version(), prereleases=True)


def choose(recipe: Recipe) -> Python:
    """This Python if it fits the recipe, else one that uv finds. Nothing is downloaded.

    Raises:
        UsageError: no Python on this machine fits.
    """
    if own_fits(recipe):
        return Python(sys.executable, platform.python_version())
    try:
        path = call("python", "find", "--no-python-downloads", recipe.python).strip()
    except SpeedtestError as error:
        raise UsageError(
            f"{recipe.name} needs Python {recipe.python}; this is {platform.python_version()}, "
            "and uv found no other one that fits",
            hint="install such a Python, so that uv finds it: uv python list",
        ) from error
    return Python(path, _version_of(path))


def _version_of(path: str) -> str:
    code = "import platform; print(platform.python_version())"
    done = subprocess.run(
        [path, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise UsageError(f"the Python that uv found does not start: {path}")
    return done.stdout.strip()


def cpu_torch_is_enough(python: Python, wheel_folders: Iterable[Path]) -> bool:
    """Whether torch's CPU build is at hand for ``python``, and there is no NVIDIA device to use.

    Only on Linux: elsewhere the package index's own build has no CUDA libraries.
    """
    if sys.platform != "linux" or _nvidia_driver():
        return False
    return any(
        _fits(wheel.name, python) for each in wheel_folders for wheel in each.glob("torch-*")
    )


def _nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None


def _fits(wheel: str, python: Python) -> bool:
    """Whether that file is a CPU build of torch that installs into ``python``."""
    from packaging import tags
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        name, version, _, works_with = parse_wheel_filename(wheel)
    except InvalidWheelFilename:
        return False
    if name != "torch" or version.local != "cpu":
        return False
    major, minor_ = minor(python.version).split(".")
    return not works_with.isdisjoint(tags.cpython_tags((int(major), int(minor_))))
