"""What the figures were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["cores", "describe", "peak_rss"]

PACKAGES = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "torch")


def cores() -> int:
    """The processors that this process may use."""
    from runtime import limits

    return limits.cores()


def describe() -> dict[str, Any]:
    """Processor, cores, graphics cards, load when it began, system, versions."""
    try:
        load = round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        load = None
    return {
        "processor": processor(),
        "cores": cores(),
        "gpus": gpus(),
        "load": load,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := version(name))},
    }


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def gpus() -> list[str]:
    """NVIDIA's cards by name; none where its tool is not there."""
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    return re.findall(r"^GPU \d+: (.+) \(UUID", found.stdout, re.MULTILINE)


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def peak_rss() -> int | None:
    """The most memory, in bytes, that this process held so far.

    Pages of mapped files are included; None where the system does not tell. Not from getrusage:
    there a child begins with what its parent held.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
