"""The device that a run uses: name, driver, memory, energy. Without a GPU the GPU values are missing."""

import os
import platform
from typing import Any

import psutil

MEBIBYTE = 1024 * 1024


def gpu_handles() -> tuple[Any, list[Any]] | None:
    """NVML and a handle for each GPU that this process may use; None without a GPU."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible is None:
            handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        else:
            handles = [_handle(pynvml, name) for name in _usable(visible)]
    except pynvml.NVMLError:
        return None
    return (pynvml, handles) if handles else None


def visible_gpus() -> list[str]:
    """Names of the NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; empty without a GPU."""
    found, visible = gpu_handles(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if found is None:
        return []
    return [str(index) for index in range(len(found[1]))] if visible is None else _usable(visible)


def _usable(visible: str) -> list[str]:
    """The GPUs in CUDA_VISIBLE_DEVICES. CUDA ignores everything after a -1."""
    names = [name.strip() for name in visible.split(",")]
    return names[: names.index("-1")] if "-1" in names else [name for name in names if name]


def _handle(pynvml: Any, name: str) -> Any:
    return pynvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(name)


def describe_device() -> dict[str, str]:
    """Tags that describe the device of a run."""
    tags = {
        "device": platform.machine() or "cpu",
        "device.cpus": str(psutil.cpu_count() or 1),
        "device.memory_mib": str(psutil.virtual_memory().total // MEBIBYTE),
        "device.system": f"{platform.system()} {platform.release()}",
    }
    found = gpu_handles()
    if found is None:
        return tags
    pynvml, handles = found
    figures = {
        "device": [_read(pynvml, pynvml.nvmlDeviceGetName, handle) for handle in handles],
        "device.gpu_uuid": [_read(pynvml, pynvml.nvmlDeviceGetUUID, handle) for handle in handles],
        "device.gpu_memory_mib": [_gpu_memory(pynvml, handle) for handle in handles],
        "device.gpu_driver": [_read(pynvml, pynvml.nvmlSystemGetDriverVersion)],
    }
    return tags | {name: ", ".join(known) for name, read in figures.items() if (known := [v for v in read if v])}


def _read(pynvml: Any, function: Any, *arguments: Any) -> str:
    """Read a value as text; empty if the GPU or the driver does not report it."""
    try:
        value = function(*arguments)
    except pynvml.NVMLError:
        return ""
    return value.decode() if isinstance(value, bytes) else str(value)


def _gpu_memory(pynvml: Any, handle: Any) -> str:
    try:
        return str(pynvml.nvmlDeviceGetMemoryInfo(handle).total // MEBIBYTE)
    except pynvml.NVMLError:
        return ""


class EnergyMeter:
    """Energy that the GPUs used since the meter was created, from NVML's counter.

    The counter covers the whole GPU, including other processes.
    """

    def __init__(self) -> None:
        self._before = _millijoules()

    def watt_hours(self) -> float | None:
        """Energy in Wh; None without a GPU that measures it."""
        after = _millijoules()
        if self._before is None or after is None:
            return None
        return max(0, after - self._before) / 3_600_000


def _millijoules() -> int | None:
    found = gpu_handles()
    if found is None:
        return None
    pynvml, handles = found
    try:
        return sum(int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in handles)
    except pynvml.NVMLError:
        return None
