"""CUDA's driver as far as it is asked: a library that a compiler makes, with a V100."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mac_whisper_speedtest.backends.cuda import UsedGpu

DRIVER = r"""
#include <string.h>
/* As in cuda.h: 0 is success, 1 an invalid value, 101 an invalid device. */
int cuInit(unsigned flags) { return FAILS; }
int cuDriverGetVersion(int *version) { *version = 12080; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal + 40; return ordinal > 1 ? 101 : 0; }
int cuDeviceGetName(char *name, int length, int device) {
  strncpy(name, device == 40 ? "Tesla V100-SXM2-16GB" : "NVIDIA A100 MIG 1g.5gb", length);
  return 0;
}
int cuDeviceGetPCIBusId(char *address, int length, int device) {
  if (device != 40) return 1;
  strncpy(address, "0000:65:00.0", length);
  return 0;
}
int UUID_NAME(unsigned char *bytes, int device) {
  for (int at = 0; at < 16; at++) bytes[at] = at + device;
  return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 17179869184u; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 75 ? 7 : attribute == 76 ? 0 : -1;
  return 0;
}
"""
V100 = UsedGpu(
    name="Tesla V100-SXM2-16GB",
    uuid="28292a2b-2c2d-2e2f-3031-323334353637",
    pci="0000:65:00.0",
    capability="7.0",
    memory_bytes=16 << 30,
    cuda="12.8",
)

needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)


def compiled(path: Path, source: str, **macros: str) -> str:
    """A shared library of that path, which others find under its file name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [f"-D{name}={value}" for name, value in macros.items()]
    subprocess.run(
        ["cc", "-shared", "-fPIC", f"-Wl,-soname,{path.name}", *words, "-xc", "-", "-o", str(path)],
        input=source.encode(),
        check=True,
    )
    return str(path)
