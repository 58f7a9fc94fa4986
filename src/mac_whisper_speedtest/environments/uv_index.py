"""The package index that pip is configured for, in the words that uv reads.

People set up an index, a certificate or a folder of wheels once, for pip; uv looks at none of that.
pip's own files are read here, because asking pip itself takes longer than making an environment.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

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
