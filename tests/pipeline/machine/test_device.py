import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.machine.device import EnergyMeter, describe_device
from pipeline.tracking.live import track
from pipeline.tracking.record import RunRecord


class FakeNvmlError(Exception):
    pass


class FakeNvml:
    """A fake of pynvml with two GPUs; functions in `missing` fail, as on GPUs that do not support them."""

    NVMLError = FakeNvmlError

    def __init__(self, missing: tuple[str, ...] = ()) -> None:
        self.missing = missing
        self.energy = {0: 1_000_000, 1: 5_000_000}

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in object.__getattribute__(self, "missing"):

            def fail(*_: object) -> None:
                raise FakeNvmlError("Not Supported")

            return fail
        return object.__getattribute__(self, name)

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802
        return int(uuid.removeprefix("GPU-"))

    def nvmlDeviceGetName(self, handle: int) -> bytes:  # noqa: N802
        return f"Card {handle}".encode()

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return f"GPU-{handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(total=8 * 1024**3, used=1024**3)

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "570.1"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=40 + handle)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return 200_000

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:  # noqa: N802
        return 400_000

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        return self.energy[handle]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    importlib.import_module("mlflow.system_metrics.metrics.gpu_monitor")  # with the real pynvml, for other tests
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)  # type: ignore[arg-type]
    return fake


def test_gpus_are_described(nvml: FakeNvml) -> None:
    tags = describe_device()
    assert tags["device"] == "Card 0, Card 1"
    assert tags["device.gpu_uuid"] == "GPU-0, GPU-1"
    assert tags["device.gpu_memory_mib"] == "8192, 8192"
    assert tags["device.gpu_driver"] == "570.1"


@pytest.mark.parametrize("visible", ["1", "GPU-1", "1,-1,0"])
def test_only_visible_gpus_are_described(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert describe_device()["device"] == "Card 1"


@pytest.mark.parametrize("visible", ["", "-1"])
def test_hidden_gpus_are_absent(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert not [name for name in describe_device() if "gpu" in name]


def test_energy_is_the_difference_of_the_counters(nvml: FakeNvml) -> None:
    meter = EnergyMeter()
    nvml.energy = {0: 1_000_000 + 3_600_000, 1: 5_000_000 + 1_800_000}  # millijoules
    assert meter.watt_hours() == pytest.approx(1.5)


def test_a_gpu_without_an_energy_counter_has_no_energy(nvml: FakeNvml) -> None:
    nvml.missing = ("nvmlDeviceGetTotalEnergyConsumption",)
    assert EnergyMeter().watt_hours() is None


def test_a_value_that_a_gpu_does_not_report_is_absent(nvml: FakeNvml) -> None:
    nvml.missing = ("nvmlDeviceGetMemoryInfo",)
    assert "device.gpu_memory_mib" not in describe_device()


def test_without_a_driver_gpu_tags_and_energy_are_absent(nvml: FakeNvml) -> None:
    nvml.missing = ("nvmlInit",)
    assert not [name for name in describe_device() if "gpu" in name]
    assert EnergyMeter().watt_hours() is None


def test_a_run_on_gpus_has_their_utilisation_memory_power_and_energy(
    tmp_path: Path,
    training: RunRecord,
    runs: Callable[[Path], list[Any]],
    nvml: FakeNvml,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow.system_metrics.metrics import gpu_monitor

    monkeypatch.setattr(gpu_monitor, "pynvml", nvml)
    with track(training, tmp_path):
        nvml.energy[0] += 7_200_000  # millijoules: 2 Wh
    (run,) = runs(tmp_path)
    assert run.data.metrics["system/gpu_1_utilization_percentage"] == 41
    assert run.data.metrics["system/gpu_0_memory_usage_megabytes"] == pytest.approx(1024**3 / 1e6, abs=0.1)
    assert run.data.metrics["system/gpu_0_power_usage_watts"] == 200
    assert run.data.metrics["cost/energy_wh"] == pytest.approx(2.0)
    assert run.data.tags["device"] == "Card 0, Card 1"
