"""Networks that were trained on arrays take .npy files."""

import base64
from pathlib import Path

import numpy as np
import pytest

from pipeline.inference.image_inputs import find
from pipeline.inference.read_input import suffixes_of
from tests.pipeline.inference.test_signal_inputs import high, save_network, served


@pytest.mark.parametrize("shape", [(6, 1), (6, 3), (4, 4, 2), (2, 3, 4, 1)])
@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
def test_a_sample_in_an_npy_file_is_classified_as_a_nested_list(shape: tuple[int, ...], tmp_path: Path) -> None:
    network = save_network(tmp_path, None, shape, None)
    samples = {"up": np.ones(shape), "down": -np.ones(shape, np.float32), "fortran": np.asfortranarray(np.ones(shape))}
    if shape[-1] == 1:
        samples["no_channel"] = np.ones(shape[:-1], np.int16)
    for name, values in samples.items():
        np.save(tmp_path / f"{name}.npy", values)
    files = [tmp_path / f"{name}.npy" for name in samples]
    expected = [0.12 if name == "down" else 0.88 for name in samples]
    assert high(network, *files) == expected
    assert served(network, [values.tolist() for values in samples.values()]) == expected
    assert served(network, [base64.b64encode(file.read_bytes()).decode() for file in files]) == expected
    assert len(list(find([str(tmp_path)], suffixes_of(None, shape)))) == len(files)


def test_files_that_are_no_sample_are_reported(tmp_path: Path) -> None:
    network = save_network(tmp_path, None, (6, 1), None)
    np.save(tmp_path / "long.npy", np.ones(7))
    np.save(tmp_path / "text.npy", np.array(["a"] * 6))
    np.save(tmp_path / "nan.npy", np.array([0.0, 1.0, np.nan, 0.0, 0.0, 0.0]))
    np.save(tmp_path / "object.npy", np.array([{}] * 6))
    (tmp_path / "picture.npy").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "long.npy").read_bytes()[:-8])
    names = ("long", "text", "nan", "object", "picture", "cut", "missing")
    messages = high(network, *(tmp_path / f"{name}.npy" for name in names))
    assert "must be an array of numbers of shape (6, 1), like the training data, got float64 of shape (7,)" in str(
        messages[0]
    )
    assert "must be an array of numbers" in str(messages[1])
    assert "values must be finite, got nan at (2, 0)" in str(messages[2])
    assert "must be an array in an .npy file, got another format" in str(messages[4])
    for name, message in zip(names, messages, strict=True):
        assert f"{name}.npy" in str(message)
