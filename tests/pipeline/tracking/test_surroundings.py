from pathlib import Path

from pipeline.tracking.surroundings import dvc_tags, git_tags, version_tags

LOCK = """\
schema: '2.0'
stages:
  prepare:
    cmd: python -m pipeline.prepare
    deps:
    - path: pipeline/prepare.py
      md5: aa
    outs:
    - path: data/prepared/train
      md5: bb.dir
"""


def test_dvc_digests_of_the_data_and_of_the_lock_are_told(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    lock.write_text(LOCK)
    tags = dvc_tags(lock)
    assert tags["dvc.data/prepared/train"] == "bb.dir"
    assert len(tags["dvc.lock"]) == 16
    assert len(tags) == 2


def test_a_folder_without_git_or_dvc_has_no_such_tags(tmp_path: Path) -> None:
    assert git_tags(tmp_path) == {}
    assert dvc_tags(tmp_path / "dvc.lock") == {}


def test_versions_are_told() -> None:
    assert {"version.python", "version.keras", "version.tensorflow"} <= version_tags().keys()
