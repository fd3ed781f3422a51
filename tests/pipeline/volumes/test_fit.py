import numpy as np
import pytest

from pipeline.data.volume_format import VolumeFormat
from pipeline.params.input_types import VolumeFit
from pipeline.volumes.fit import fitted
from tests.pipeline.volumes.files import ramp


def form(shape: tuple[int, int, int] | None, resize: VolumeFit, fill: float = 0.0) -> VolumeFormat:
    return VolumeFormat(shape=shape, resize=resize, fill=fill)


def volume(*shape: int) -> np.ndarray:
    return ramp(*shape, 1).astype(np.float32)


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop", "center"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (9, 2, 4), (1, 1, 1), (7, 7, 70), (1, 40, 2)])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_result_has_the_shape(resize: VolumeFit, shape: tuple[int, int, int], channels: int) -> None:
    values = np.repeat(volume(4, 6, 3), channels, axis=-1)
    result = fitted(values, form(shape, resize))
    assert result.shape == (*shape, channels)
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= values.max()
    np.testing.assert_array_equal(result[..., 0], result[..., -1])


def test_a_volume_of_the_shape_is_not_changed() -> None:
    values = volume(3, 4, 5)
    assert fitted(values, form((3, 4, 5), "stretch")) is values
    assert fitted(values, form(None, "pad")) is values


def test_stretch_interpolates_between_centres() -> None:
    values = np.array([0.0, 2.0, 4.0, 6.0], np.float32).reshape(4, 1, 1, 1)
    assert fitted(values, form((2, 1, 1), "stretch")).ravel().tolist() == [1.0, 5.0]
    assert fitted(values, form((8, 1, 1), "stretch")).ravel().tolist() == [0.0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.0]


def test_pad_keeps_proportions_and_has_margins_of_the_fill_value() -> None:
    values = np.ones((4, 8, 8, 1), np.float32)
    result = fitted(values, form((4, 4, 4), "pad", fill=-9.0))
    assert (result[1:3] == 1).all()
    assert (result[[0, 3]] == -9).all()


def test_crop_keeps_proportions_and_the_central_part() -> None:
    values = volume(8, 4, 4)
    np.testing.assert_array_equal(fitted(values, form((4, 4, 4), "crop")), values[2:6])
    assert fitted(np.ones((8, 4, 4, 1), np.float32), form((2, 2, 2), "crop")).mean() == 1


def test_center_neither_scales_nor_shifts() -> None:
    values = volume(3, 6, 4)
    result = fitted(values, form((5, 2, 4), "center", fill=-1.0))
    np.testing.assert_array_equal(result[1:4], values[:, 2:4])
    assert (result[[0, 4]] == -1).all()
