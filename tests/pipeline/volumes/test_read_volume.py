import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.volume_format import VolumeFormat
from pipeline.errors import UnreadableError, UserError
from pipeline.volumes import nifti as nifti_module
from pipeline.volumes.read_volume import read_volume
from tests.installed import NEEDS_NIBABEL
from tests.pipeline.volumes.files import nifti, ramp, write_nifti

AS_STORED = VolumeFormat(shape=None, resize="stretch", fill=0.0)


def read(source: Path | bytes, form: VolumeFormat = AS_STORED) -> np.ndarray:
    return read_volume(source, "here", form).values


@NEEDS_NIBABEL
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_a_nifti_file_is_read_with_depth_height_and_width(tmp_path: Path, ending: str) -> None:
    values = ramp(4, 3, 2)  # x, y, z
    result = read(write_nifti(tmp_path / f"a.{ending}", values))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[..., 0], values.transpose(2, 1, 0))


@NEEDS_NIBABEL
def test_the_orientation_is_turned_to_right_anterior_superior(tmp_path: Path) -> None:
    values = ramp(4, 3, 2)
    turned = np.array([[0, 0, -1.0, 5], [-2.0, 0, 0, 3], [0, 1.5, 0, 1], [0, 0, 0, 1]])  # axes: -y, z, -x
    result = read(write_nifti(tmp_path / "a.nii", values, turned))
    canonical = values.transpose(2, 0, 1)[::-1, ::-1]
    np.testing.assert_array_equal(result[..., 0], canonical.transpose(2, 1, 0))


@NEEDS_NIBABEL
def test_slope_and_intercept_are_applied() -> None:
    image = nifti(ramp(4, 3, 2))
    image.header.set_slope_inter(0.5, -100)
    content = bytearray(image.to_bytes())
    struct.pack_into("<ff", content, 112, 0.5, -100.0)
    np.testing.assert_allclose(read(bytes(content))[..., 0], ramp(4, 3, 2).transpose(2, 1, 0) * 0.5 - 100)


@NEEDS_NIBABEL
@pytest.mark.parametrize("shape", [(4, 3, 2, 5), (4, 3, 2, 1, 5)])
def test_further_volumes_are_channels(shape: tuple[int, ...]) -> None:
    assert read(nifti(ramp(*shape)).to_bytes()).shape == (2, 3, 4, 5)


@NEEDS_NIBABEL
def test_version_2_and_big_endian_files_are_read() -> None:
    assert read(nifti(ramp(4, 3, 2), version=2).to_bytes()).shape == (2, 3, 4, 1)
    import nibabel as nib

    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    content = nib.Nifti1Image(ramp(4, 3, 2), np.eye(4), header).to_bytes()
    assert content[:4] == (348).to_bytes(4, "big")
    np.testing.assert_array_equal(read(content)[..., 0], ramp(4, 3, 2).transpose(2, 1, 0))


def changed(content: bytes, place: int, *values: object, form: str) -> bytes:
    packed = bytearray(content)
    struct.pack_into(form, packed, place, *values)
    return bytes(packed)


@NEEDS_NIBABEL
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[:-5], r"is truncated: its header declares 400 bytes, got 395"),
        (lambda c: c[:100], "truncated header"),
        (lambda c: gzip.compress(c)[:-12], "not a valid NIfTI file"),
        (lambda c: gzip.compress(c[:200]), "truncated header"),
        (lambda c: b"\x1f\x8b" + bytes(100), "not a valid NIfTI file"),
        (lambda c: changed(c, 344, b"nope", form="4s"), "a header without its mark"),
        (lambda c: changed(c, 344, b"ni1\0", form="4s"), "got only a header"),
        (lambda c: changed(c, 40, 3, 30_000, 30_000, 30_000, form="<4h"), "at most 134,217,728 values"),
        (
            lambda c: gzip.compress(changed(c, 40, 3, 500, 500, 500, form="<4h")),
            "is truncated: its header declares 250",
        ),
        (lambda c: changed(c, 40, 3, -4, 3, 2, form="<4h"), "must have three axes"),
        (lambda c: changed(c, 40, 2, 4, 3, 1, form="<4h"), "must have three axes"),
        (lambda c: changed(c, 40, 5, 4, 3, 2, 2, 2, form="<6h"), "must have three axes"),
        (lambda c: changed(c, 40, 40, form="<h"), "not a valid NIfTI file|must have three axes"),
        (lambda c: gzip.compress(c)[:-8] + bytes(8), "not a valid NIfTI file: CRC check failed"),
        (lambda c: changed(c, 70, 128, form="<h"), "must contain real numbers"),  # RGB
        (lambda c: changed(c, 70, 32, form="<h"), "must contain real numbers, got complex64"),
        (lambda c: changed(c, 70, 999, form="<h"), "not a valid NIfTI file"),
        (lambda c: changed(c, 108, 1e9, form="<f"), "values start at byte 1e"),
        (lambda c: changed(c, 108, float("nan"), form="<f"), "values start at byte nan"),
    ],
)
def test_damaged_nifti_files_are_refused(change: object, message: str) -> None:
    content = nifti(ramp(4, 3, 2)).to_bytes()
    assert len(content) == 400
    with pytest.raises(UnreadableError, match=f"here: .*{message}"):
        read(change(content))  # type: ignore[operator]


def test_without_nibabel_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti_module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"here: .*require the package nibabel; .*make extras EXTRAS=volumes"):
        read((348).to_bytes(4, "little") + bytes(400))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("channels", [(), (2,)])
def test_an_npy_file_is_read(tmp_path: Path, order: str, channels: tuple[int, ...]) -> None:
    values = np.asarray(ramp(4, 3, 2, *channels), order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(read(tmp_path / "a.npy"), values.reshape(4, 3, 2, -1))
    np.testing.assert_array_equal(read((tmp_path / "a.npy").read_bytes()), values.reshape(4, 3, 2, -1))


def test_a_volume_is_fitted_and_its_own_shape_is_reported(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ramp(4, 3, 2))
    form = VolumeFormat(shape=(2, 2, 2), resize="center", fill=0.0)
    volume = read_volume(tmp_path / "a.npy", "here", form)
    assert volume.values.shape == (2, 2, 2, 1)
    assert volume.shape == (4, 3, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[[1.0, np.nan]]]), "values must be finite, got nan at depth 0, row 0, column 1"),
        (np.array([[[1.0]], [[-np.inf]]]), "values must be finite, got -inf at depth 1, row 0, column 0"),
        (np.zeros((2, 3)), r"\(depth, height, width\).* got float64 of shape \(2, 3\)"),
        (np.zeros((2, 0, 3)), r"got float64 of shape \(2, 0, 3\)"),
        (np.full((2, 2, 2), "a"), "got <U1 of shape"),
        (np.array([[[{}]]], object), "pickled Python objects"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, values: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(UnreadableError, match=f"here: .*{message}"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file"),
        (b"hello", "must be a volume .*got another format"),
        (b"\x93NUMPY\x01\x00", "damaged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UnreadableError, match=f"here: .*{message}"):
        read(tmp_path / "a.npy")
