"""Settings and links in a user's shell, home and folders do not affect the commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT, Clone, clone


def prepare(folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the stage prepare on the digits, in a folder with the project's params.yaml."""
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    command = [sys.executable, "-m", "pipeline.prepare"]
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, check=False)


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_matplotlib_settings_and_encoding_of_the_shell_do_not_change_outputs(tmp_path: Path) -> None:
    rc = tmp_path / "config" / "matplotlibrc"
    rc.parent.mkdir()
    rc.write_text("text.usetex: True\nfigure.facecolor: black\nfont.size: 25\nsavefig.dpi: 30\n")
    plain = prepare(tmp_path / "plain")
    assert plain.returncode == 0, plain.stderr
    for inherited in (
        {"MPLBACKEND": "module://no_such_backend", "MPLCONFIGDIR": str(rc.parent), "PYTHONIOENCODING": "ascii"},
        {
            "MPLBACKEND": "nonsense", "MATPLOTLIBRC": str(rc), "LC_ALL": "C", "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
        },
    ):  # fmt: skip
        done = prepare(tmp_path / "inherited", **inherited)
        assert done.returncode == 0, (inherited, done.stderr)
        for name in ("data", "reports"):
            assert bytes_below(tmp_path / "inherited" / name) == bytes_below(tmp_path / "plain" / name), inherited


def test_characters_that_the_terminal_cannot_encode_are_escaped() -> None:
    code = (
        "from pipeline.terminal.console import run_main, say, UserError\n"
        "def main():\n    say('8×8')\n    raise UserError('no caf\\udce9')\n"
        "run_main(main)"
    )
    variables = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"8\\xd78\n")
    assert done.stderr == b"error: no caf\\udce9\n"


@pytest.mark.slow
def test_keras_json_does_not_change_the_network(tmp_path: Path) -> None:
    settings = {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 0.1, "backend": "torch"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    code = (
        "from pipeline.backend.runtime import start_backend; start_backend()\n"
        "import keras; from pipeline.cnn.build import build\n"
        "from tests.pipeline.training.trainings import PLAIN\n"
        "model = build(PLAIN, (0.0,), (1.0,))\n"
        "kept = {layer.data_format for layer in model.layers if hasattr(layer, 'data_format')}\n"
        "print(keras.config.backend(), keras.config.epsilon(), model.dtype, sorted(kept))"
    )
    variables = os.environ | {"KERAS_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    variables.pop("KERAS_BACKEND", None)
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "tensorflow 1e-07 float32 ['channels_last']", done.stderr


@pytest.mark.parametrize("linked", ["prepared", "reports"])
def test_a_link_to_another_folder_is_kept_and_its_target_is_replaced(tmp_path: Path, linked: str) -> None:
    from pipeline.files import new_folder

    (tmp_path / "elsewhere/prepared").mkdir(parents=True)
    (tmp_path / "elsewhere/prepared/old").touch()
    target = tmp_path / linked
    target.symlink_to(tmp_path / "elsewhere" / ("prepared" if linked == "prepared" else ""))
    place = target if linked == "prepared" else target / "prepared"
    for text in ("one", "two"):
        with new_folder(place) as made:
            (made / "file").write_text(text)
        assert target.is_symlink()
        assert [path.name for path in place.iterdir()] == ["file"]
        assert (place / "file").read_text() == text


def test_the_database_url_does_not_contain_the_path_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.engine import make_url

    from pipeline.mlflow_server.connection import tracking_uri

    (odd := tmp_path / "50% off? #1 & e\u0301 \udcff").mkdir()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(odd)
    assert make_url(tracking_uri(Path("."))).database == "mlflow.db"


def test_ray_does_not_use_a_temporary_folder_with_a_long_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from search.engine.ray_cluster import _short_folder

    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    assert _short_folder() is None
    monkeypatch.setattr("tempfile.tempdir", "/tmp/" + "long" * 30)
    assert len(str(_short_folder())) < 39


@pytest.mark.slow
def test_images_in_data_raw_can_be_tracked_by_dvc_and_used_in_other_folders(tmp_path: Path) -> None:
    from PIL import Image

    made = clone(tmp_path / "clone")  # DVC itself fails to copy a project whose path has ?, # or é
    for label, name in enumerate(("dark", "bright")):
        folder = made.root / "data/raw/shades" / name
        folder.mkdir(parents=True)
        for number in range(20):
            Image.fromarray(np.full((8, 8), 200 * label + number, np.uint8)).save(folder / f"{number}.png")
    assert made.run("git", "status", "--porcelain").stdout == ""  # Git ignores the images themselves
    made.run("dvc", "add", "data/raw/shades")
    status = made.run("git", "status", "--porcelain", "--untracked-files=all").stdout
    assert status == "?? data/raw/.gitignore\n?? data/raw/shades.dvc\n"

    made.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    (made.root / "dvc.lock").unlink()  # whose outputs are not in the store
    made.run("git", "add", "--all")
    made.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "Images")
    made.run("dvc", "push", "data/raw/shades")
    # The images are available in DVC's temporary copy of the project, and in another clone.
    output = made.run("dvc", "exp", "run", "--temp", "-S", "data.source=images:data/raw/shades", "prepare").stdout
    assert "prepare: shades: 2 classes, images of 8×8×1" in output
    made.run("git", "clone", "--quiet", str(made.root), str(tmp_path / "other"))
    Clone(tmp_path / "other").run("dvc", "pull", "data/raw/shades")
    assert len(list((tmp_path / "other/data/raw/shades").rglob("*.png"))) == 40
