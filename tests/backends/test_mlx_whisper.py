"""mlx-whisper on real weights and real speech; apart, because MLX on a CPU is slow."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from conftest import Tool
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.worker.launch import interpreter


@pytest.mark.timeout(1500)  # MLX's CPU build has no fast linear algebra: minutes on a slow machine
def test_mlx_whisper_is_measured_where_its_environment_is_installed(
    tool: Tool,
) -> None:
    backend = registry.installed()["mlx-whisper"]
    if interpreter(backend) is None:
        pytest.skip("mlx-whisper is not installed: speedtest backends install mlx-whisper")
    done = tool(
        *["run", "--model", "tiny.en", "-b", "mlx-whisper", "--clip", "short"],
        *["--rounds", 1, "--runs", 1, "--max-time", 1, "--json"],
        timeout=1400,
    )
    assert done.returncode == 0, done.stderr
    cell: dict[str, Any] = done.cell("mlx-whisper")
    assert cell["summary"]["wer"] <= 0.05
    assert cell["contract"]["deviations"] == []
    assert cell["contract"]["effective"] == DecodeContract().settings()
    assert sys.platform == "darwin" or cell["backend"]["device"] == "cpu"
