"""The files of a source with the splits of their samples."""

from pipeline.checks.files import with_split
from pipeline.decoding.file_record import FileRecord


def test_a_number_in_parentheses_belongs_to_a_sample_unless_a_file_has_it_in_its_name() -> None:
    records = [FileRecord(name, "a") for name in ("a/scan", "a/scan (1)", "a/scan (2)", "a/walk", "a/limited")]
    names = {"train": ["a/scan (1)", "a/walk (1)"], "val": ["a/scan (2)"], "test": ["a/scan", "a/walk (2)"]}
    found = with_split(records, names)  # type: ignore[arg-type]
    assert [split for _, split in found] == ["test", "train", "val", "train, test", ""]
    assert [record.status for record, _ in found] == ["used"] * 4 + ["limited"]
