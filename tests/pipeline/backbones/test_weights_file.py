"""Files of weights of several kinds, and those that cannot be used."""

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.backbones.check import check_backbone, unwatched
from pipeline.backbones.weights_file import read_weights
from pipeline.errors import UserError
from pipeline.params.model import BackboneName
from tests.pipeline.backbones.files import backbone, random_network, save_legacy, save_random_weights
from tests.pipeline.training.trainings import figures


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail on every attempt to open a connection."""

    def refuse(*given: Any) -> None:
        raise AssertionError(f"a connection to {given[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def require_equal(found: dict[str, list[Any]], network: Any) -> None:
    """Require that the weights are those of a network without its top, and that none are missing."""
    expected = {layer.name: layer.get_weights() for layer in network.layers if layer.weights}
    assert len(found) >= 54  # layers of the smallest network
    for name, values in found.items():
        for one, other in zip(values, expected[name], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("legacy", [False, True], ids=["weights.h5", "legacy"])
@pytest.mark.parametrize(
    "top", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["without top", "with top"]
)  # fmt: skip
def test_files_of_both_formats_are_read_and_a_top_is_skipped(top: bool, legacy: bool, tmp_path: Path) -> None:
    network = random_network("mobilenet", 0.25, top=top)
    if legacy:
        save_legacy(network, path := tmp_path / "small.h5")
    else:
        network.save_weights(path := tmp_path / "small.weights.h5")
    require_equal(read_weights(backbone(weights=str(path))), network)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_b0", "efficientnetv2_b0"])
def test_files_of_networks_with_a_preprocessing_are_read(name: BackboneName, tmp_path: Path) -> None:
    network = random_network(name)
    network.save_weights(tmp_path / "small.weights.h5")
    require_equal(read_weights(backbone(name=name, alpha=1.0, weights=str(tmp_path / "small.weights.h5"))), network)


@pytest.mark.slow
def test_the_first_kernel_of_a_resnet_is_reversed_since_it_was_trained_on_blue_green_red(tmp_path: Path) -> None:
    network = save_random_weights(path := tmp_path / "small.weights.h5", "resnet50", 1.0)
    found = read_weights(backbone(name="resnet50", alpha=1.0, weights=str(path)))
    kernel, bias = network.get_layer("conv1_conv").get_weights()
    np.testing.assert_array_equal(found["conv1_conv"][0], kernel[:, :, ::-1])
    np.testing.assert_array_equal(found["conv1_conv"][1], bias)
    assert found["conv2_block1_1_conv"][0].shape == (1, 1, 64, 64)


@pytest.mark.parametrize("changes", [{"alpha": 0.5}, {"name": "mobilenet_v2", "alpha": 0.35}], ids=["alpha", "name"])
def test_weights_of_another_network_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    save_random_weights(path := tmp_path / "small.weights.h5")
    with pytest.raises(UserError) as raised:
        read_weights(backbone(weights=str(path)).model_copy(update=changes))
    assert f"{path}: must contain the weights of {changes.get('name', 'mobilenet')}" in str(raised.value)
    assert "shape=(3, 3, 3, 16), Received: value.shape=(3, 3, 3, 8); change model.backbone.name" in str(raised.value)
    assert ", or save them with python -c" in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"nonsense", "torn"], ids=["empty", "no HDF5", "torn"])
@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
def test_damaged_files_are_refused(content: bytes | str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"small{suffix}"
    if isinstance(content, str):
        save_random_weights(whole := tmp_path / "whole.weights.h5")
        content = whole.read_bytes()[:100_000]
    path.write_bytes(content)
    with pytest.raises(UserError, match="must contain the weights of mobilenet"):
        read_weights(backbone(weights=str(path)))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = random_network("mobilenet", 0.25)
    layer = network.get_layer("conv_pw_3")
    layer.set_weights([np.full(layer.kernel.shape, np.inf)])
    network.save_weights(path := tmp_path / "small.weights.h5")
    with pytest.raises(UserError, match=r"a finite number for each weight, got none, NaN or infinity in conv_pw_3"):
        read_weights(backbone(weights=str(path)))


def test_a_backbone_is_checked_before_anything_is_trained(tmp_path: Path) -> None:
    dataset = figures(train=16, val=8).dataset
    (path := tmp_path / "small.weights.h5").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="must contain the weights"):
        check_backbone(backbone(weights=str(path)), dataset)
    with pytest.raises(UserError, match=r"set data\.value_range"):
        check_backbone(backbone(fine_tune="all"), dataset.model_copy(update={"value_range": None}))
    with pytest.raises(UserError, match=r"model\.backbone: mobilenet requires images, got data of the kind audio"):
        check_backbone(backbone(fine_tune="all"), dataset.model_copy(update={"kind": "audio"}))


def test_a_file_that_dvc_does_not_watch_is_mentioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/weights").mkdir(parents=True)
    for place in ("data/weights/a.h5", "b.h5"):
        Path(place).touch()
    assert unwatched(backbone(fine_tune="all")) == ""
    assert unwatched(backbone(weights="data/weights/a.h5")) == ""
    assert unwatched(backbone(weights="b.h5")).startswith("DVC does not detect changes in b.h5; after a change, run ")
