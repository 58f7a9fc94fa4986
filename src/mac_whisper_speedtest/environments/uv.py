"""Runs uv with the package index of pip's configuration, and chooses a Python."""

from __future__ import annotations

import configparser
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.errors import SpeedtestError, StorageError, UsageError
from mac_whisper_speedtest.privacy import scrub

_LAST_LINES = 6
NO_INDEX = "UV_NO_INDEX"
"""Represents pip's ``no-index``: uv has an option ``--no-index``, but no variable for it."""

_TRUE_RELEASE = {"SYSTEM_VERSION_COMPAT": "0"}
"""Without it, macOS 26 reports version 16.0 to a Python that was built with an older SDK (CPython
issue 135675); uv asks that Python, and would choose wheels for macOS 15."""

_FULL_DISK = re.compile(r"no space left on device|os error 28\b|disk quota exceeded", re.IGNORECASE)


def call(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, visible: bool = False
) -> str:
    """Run uv and return its output.

    Args:
        arguments: of uv; its own configuration files are not read.
        environment: variables for it; those that the user has set take precedence.
        visible: show its progress on stderr, which should be a terminal.

    Raises:
        StorageError: the disk became full.
        SpeedtestError: its exit status was not 0.
    """
    quiet = [] if visible else ["--quiet"]
    variables = {**_TRUE_RELEASE, **(environment or {}), **os.environ}
    words = [str(each) for each in arguments]
    if words[0] == "pip" and variables.get(NO_INDEX):
        words.append("--no-index")
    with subprocess.Popen(
        [program(), "--no-config", *quiet, *words],
        stdout=subprocess.PIPE,
        stderr=None if visible else subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
        env=variables,
    ) as process:
        try:
            printed, errors = process.communicate()
        except BaseException:
            # After an interrupt, subprocess.run waits only a quarter of a second; uv could then
            # still write into a folder that is being deleted.
            process.kill()
            process.wait()
            raise
    if process.returncode == 0:
        return printed
    output = scrub(errors or "")
    if _FULL_DISK.search(output):
        raise StorageError(
            "the disk became full while uv was installing",
            hint="free some space and try again: finished downloads stay in uv's cache",
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = " / ".join(lines[-_LAST_LINES:])
    why = last or ("see above" if visible else f"status {process.returncode}")
    raise SpeedtestError(
        f"uv {arguments[0]} failed: {why}",
        hint="check the connection to your package index, and the free disk space",
    )


def program() -> str:
    """Path of uv."""
    import uv

    return uv.find_uv_bin()


def version() -> str:
    """The version of uv."""
    from importlib import metadata

    return metadata.version("uv")


# pip's configuration, translated for uv. Users configure an index, a certificate or a folder of
# wheels for pip; uv ignores that. Asking pip itself takes longer than creating an environment.


# pip's option -> uv's variable, and its separator of several values.
_VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "cert": ("SSL_CERT_FILE", " "),
    "no-index": (NO_INDEX, " "),
}
_SECTIONS = ("global", "install")  # the later one wins


def pip_options(environ: Mapping[str, str], files: Iterable[Path]) -> dict[str, str]:
    """The options of pip for installing, by name, such as ``index-url``.

    Args:
        environ: variables such as ``PIP_INDEX_URL`` take precedence over every file.
        files: pip's files, in ascending order of precedence; unreadable ones are ignored.
    """
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip reports errors in its own file
        for section in _SECTIONS:
            if parser.has_section(section):
                values = {key.replace("_", "-"): value for key, value in parser.items(section)}
                found[section] |= values
    from_environment = {
        key.removeprefix("PIP_").lower().replace("_", "-"): value
        for key, value in environ.items()
        if key.startswith("PIP_") and value
    }
    return {**found["global"], **found["install"], **from_environment}


def pip_files(environ: Mapping[str, str]) -> list[Path]:
    """The files that pip reads, in ascending order of precedence; not all exist."""
    home = Path.home()
    if environ.get("PIP_CONFIG_FILE") == os.devnull:
        return []  # this disables all files in pip
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
    """The environment variables that give uv pip's ``options``."""
    variables = {}
    for option, (variable, separator) in _VARIABLES.items():
        if values := options.get(option, "").split():
            variables[variable] = separator.join(values)
    if variables.get(NO_INDEX, "").lower() in {"0", "false", "no", "off"}:
        del variables[NO_INDEX]
    return variables


def _configured() -> dict[str, str]:
    """The variables of uv for pip's configuration on this machine."""
    return uv_variables(pip_options(os.environ, pip_files(os.environ)))


def for_locking() -> dict[str, str]:
    """The variables of uv for creating a lock: one index, and no other source.

    A lock must list all files of a release, for every platform; a folder of wheels or a partial
    mirror has only some.
    """
    partial = {"UV_INDEX", "UV_FIND_LINKS"}
    return {name: value for name, value in _configured().items() if name not in partial}


def for_installing(*, find_links: bool = True) -> dict[str, str]:
    """The variables of uv for installing a lock; its hashes identify the acceptable files.

    Args:
        find_links: whether to search pip's folders of wheels too. Not for torch's build from the
            index: uv would prefer a ``+cpu`` wheel there.
    """
    variables = _configured()
    if not find_links:
        variables.pop("UV_FIND_LINKS", None)
    # Like pip, search every index. The hashes prevent another index from replacing a package.
    variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return variables


def wheel_folders() -> list[Path]:
    """The local folders of wheels in the configuration of pip or uv."""
    links = os.environ.get("UV_FIND_LINKS", _configured().get("UV_FIND_LINKS", ""))
    words = links.split(",")
    folders = [Path(word.removeprefix("file://")) for word in words if word]
    return [folder for folder in folders if folder.is_dir()]


# The Python of an environment.


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter: its path and full version."""

    path: str
    version: str


def minor_version(version: str) -> str:
    """``3.11`` for ``3.11.7``."""
    return ".".join(version.split(".")[:2])


def this_python() -> str:
    """The major and minor version of this Python."""
    return minor_version(platform.python_version())


def this_python_fits(recipe: Recipe) -> bool:
    """Whether this Python is in the recipe's range."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(recipe.python).contains(platform.python_version(), prereleases=True)


def choose_python(recipe: Recipe) -> Python:
    """This Python if it fits the recipe, else one that uv finds. Nothing is downloaded.

    Raises:
        UsageError: no Python on this machine fits.
    """
    if this_python_fits(recipe):
        return Python(sys.executable, platform.python_version())
    try:
        path = call("python", "find", "--no-python-downloads", recipe.python).strip()
    except SpeedtestError as error:
        raise UsageError(
            f"{recipe.name} needs Python {recipe.python}; this is {platform.python_version()}, "
            "and uv found no other that fits",
            hint="install such a Python where uv finds it; see: uv python list",
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


def has_cpu_torch(python: Python, wheel_folders: Iterable[Path]) -> bool:
    """Whether these folders have torch's CPU build for ``python``."""
    return any(
        _is_cpu_torch_for(wheel.name, python)
        for each in wheel_folders
        for wheel in each.glob("torch-*")
    )


def _is_cpu_torch_for(wheel: str, python: Python) -> bool:
    """Whether the file name ``wheel`` is a CPU build of torch for ``python``."""
    from packaging import tags
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        name, version, _, works_with = parse_wheel_filename(wheel)
    except InvalidWheelFilename:
        return False
    if name != "torch" or version.local != "cpu":
        return False
    major, minor = minor_version(python.version).split(".")
    return not works_with.isdisjoint(tags.cpython_tags((int(major), int(minor))))
