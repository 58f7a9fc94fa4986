"""Builds a recipe's distribution from its source, with the recipe's CMake options.

The build tools are packages of the same lock. So everything in an environment is pinned and hashed,
except for the compiler, which is part of the environment's key.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from mac_whisper_speedtest.backends import recipe as recipes
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.environments import locks, toolchain, uv
from mac_whisper_speedtest.environments.toolchain import BuildTimeoutError
from mac_whisper_speedtest.errors import SpeedtestError, UsageError
from mac_whisper_speedtest.paths import with_tilde

TIMEOUT_S = 30 * 60.0
"""Seconds for a build. pywhispercpp takes 75 s with one job at a time on a Xeon of 2023."""

_LAST_LINES = 4
_ERROR = re.compile(r"\berror\b|^cause:", re.IGNORECASE)
_SYSTEM = "/usr/bin:/bin:/usr/sbin:/sbin"
"""The search path; uv puts the environment's own programs before it. There are no other folders,
because CMake also searches for libraries beside the programs on the path."""
_HIDE = (
    "import os; [os.environ.pop(name) for name in list(os.environ)"
    " if name.startswith('UV_') or name.lower().endswith('_proxy')]\n"
)
_PASSED = frozenset(
    {
        *("HOME", "USER", "LANG", "TMPDIR", "DEVELOPER_DIR", "SDKROOT"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    }
)


def compiler(recipe: Recipe) -> str:
    """The C++ compiler of this machine: its name and version.

    Raises:
        UsageError: there is none; the hint has the command.
    """
    missing = f"{recipe.name} is built from source, and there is no C++ compiler"
    if recipes.is_macos():
        # /usr/bin/c++ exists even without the tools, and then opens a dialog.
        toolchain.ask("xcode-select", "-p", missing=missing)
    program = shutil.which("c++", path=_SYSTEM)
    if program is None:
        hint = toolchain.INSTALL_TOOLS if recipes.is_macos() else "install g++"
        raise UsageError(missing, hint=hint)
    return toolchain.ask(program, "--version", missing=missing).partition("\n")[0]


def described(recipe: Recipe, text: str) -> str:
    """The lock ``text`` with the options of the build as comments, so that they change its hash."""
    options = "".join(f"# built with {name}={value}\n" for name, value in recipe.build.items())
    return f"{options}{text}"


def install(
    recipe: Recipe,
    staging: Path,
    text: str,
    *,
    log: Path,
    progress: Callable[[str], None] = lambda _line: None,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Build the distribution of ``recipe`` into an environment with the rest of its lock.

    Args:
        recipe: with options for a build.
        staging: the environment.
        text: the lock.
        log: a file for the build's output; it is kept if the build fails.
        progress: called several times a second with the last line of the log.
        timeout_s: how long the build may take, in seconds.

    Raises:
        SpeedtestError: it failed or took too long; the message has the last lines.
    """
    requirements = staging / "built.txt"
    requirements.write_text(
        "".join(each.text for each in locks.packages(text) if locks.is_built(recipe, each)),
        encoding="utf-8",
    )
    environment = variables(recipe)
    command = [
        *(uv.program(), "--no-config", "pip", "install", "--verbose"),
        *("--python", str(staging / "bin" / "python")),
        *("--no-deps", "--no-build-isolation", "--no-binary", recipe.distribution),
        # uv's cache identifies a wheel by its source, not by the variables of its build.
        *("--no-cache", "--require-hashes", "--requirement", str(requirements)),
        *(("--no-index",) if environment.get(uv.NO_INDEX) else ()),
    ]
    log.unlink(missing_ok=True)
    again = f"the whole log: {with_tilde(log)}"
    (packages,) = staging.glob("lib/python*/site-packages")
    hiding = packages / "hide-addresses.pth"  # Python runs its line at the start
    hiding.write_text(_HIDE, encoding="utf-8")
    try:
        status = toolchain.run(
            command,
            log=log,
            timeout_s=timeout_s,
            progress=lambda line: progress(line.removeprefix("DEBUG ")),
            environment=environment,
        )
    except BuildTimeoutError as error:
        raise BuildTimeoutError(
            f"{recipe.name} was not built within {timeout_s / 60:.0f} minutes; the last line was: "
            f"{toolchain.last_line(log) or 'none'}",
            hint=again,
        ) from error
    finally:
        hiding.unlink()
    if status != 0:
        lines = [line.removeprefix("DEBUG ") for line in toolchain.tail(log)]
        errors = [line for line in lines if _ERROR.search(line)] or lines
        raise SpeedtestError(
            f"{recipe.name} could not be built: {' / '.join(errors[-_LAST_LINES:])}", hint=again
        )
    log.replace(staging / "build.log")


def variables(recipe: Recipe) -> dict[str, str]:
    """The environment variables of a build.

    pywhispercpp passes all of them to CMake as options. Other variables could change the build, so
    there are none. The addresses that uv needs are hidden from the build: they may contain a login,
    which would appear in the arguments of a process.
    """
    own = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED or name.startswith("UV_")
    }
    return {**uv.for_installing(), **own, **recipe.build, "PATH": _SYSTEM}
