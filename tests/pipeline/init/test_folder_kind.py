from pathlib import Path

import pytest

from pipeline.init.folder_kind import kind_of_file


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.png", b"RIFF\0\0\0\0WAVEfmt ", "audio"),
        ("a", b"fLaC\0\0\0\x22", "audio"),
        ("a.wav", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "images"),
        ("a.webp", b"RIFF\0\0\0\0WEBPVP8 ", "images"),
        ("a.dat", b"\x93NUMPY\1\0", "volumes"),
        ("a.nii", (348).to_bytes(4, "little"), "volumes"),
        ("a.nii.gz", b"\x1f\x8b\x08\0", "volumes"),
        ("a.csv.gz", b"\x1f\x8b\x08\0", None),
        ("a.csv", b"time,x\n0.0,?\n0.1,3e-4\n", "series"),
        ("a.txt", b"1.5 2\n", "series"),
        ("a.csv", b"when;x\n2026-01-31T12:00:00;3\n", "series"),
        ("a.txt", b"A text\nabout 3 things\n", None),
        ("a.txt", b"A text\nwithout any\n", None),
        ("a.tif", b"", "images"),
    ],
)
def test_a_file_is_recognized_by_its_content_and_else_by_its_name(
    tmp_path: Path, name: str, content: bytes, kind: str | None
) -> None:
    (tmp_path / name).write_bytes(content)
    assert kind_of_file(tmp_path / name) == kind
