import subprocess
from pathlib import Path

from pipeline.tracking.environment import dvc_tags, git_tags, version_tags

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


def test_dvc_digests_of_the_data_and_of_the_lock_are_recorded(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    lock.write_text(LOCK)
    tags = dvc_tags(lock)
    assert tags["dvc.data/prepared/train"] == "bb.dir"
    assert len(tags["dvc.lock"]) == 16
    assert len(tags) == 2


def test_a_folder_without_git_or_dvc_has_no_such_tags(tmp_path: Path) -> None:
    assert git_tags(tmp_path) == {}
    assert dvc_tags(tmp_path / "dvc.lock") == {}


def test_files_written_by_the_pipeline_do_not_count_as_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "data/prepared").mkdir(parents=True)
    for name in ("params.yaml", "dvc.lock", "data/prepared/train"):
        (tmp_path / name).write_text("as committed\n")
    git("add", "-A")
    git("commit", "-qm", "first")
    assert git_tags(tmp_path)["git.changed"] == "no"
    (tmp_path / "dvc.lock").write_text(LOCK)
    (tmp_path / "data/prepared/train").write_text("written by the stage\n")
    assert git_tags(tmp_path)["git.changed"] == "no"
    (tmp_path / "params.yaml").write_text("seed: 2\n")
    assert git_tags(tmp_path)["git.changed"] == "yes"


def test_versions_are_recorded() -> None:
    assert {"version.python", "version.keras", "version.tensorflow"} <= version_tags().keys()
