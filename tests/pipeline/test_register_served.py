"""A registered network outside the project: exported, over HTTP, in an application."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UserError
from tests.pipeline.registration import Workspace
from tests.pipeline.serving import model_server, post, tracking_server
from tests.ports import free_port

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports


@pytest.fixture
def server(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real MLflow server, without a local database."""
    (workspace.root / "mlflow.db").unlink()
    with tracking_server(workspace.root, free_port()) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield address


HOST_APPLICATION = """
import pipeline, pipeline.errors  # the application's own
import json, sys, warnings
import numpy as np
import mlflow

mlflow.set_tracking_uri(sys.argv[1])
loaded = [mlflow.pyfunc.load_model(f"models:/tiny/{version}") for version in (1, 2)]
images = np.load("images.npy")
predictions = [model.predict(images) for model in loaded]
assert loaded[0].predict(np.array(json.load(open("files.json")), dtype=object)) == predictions[0]
assert pipeline.errors.NAME == "the host's own"
assert [name for name in sys.modules if name.startswith("pipeline")] == ["pipeline", "pipeline.errors"]
print(json.dumps([[each["label"] for each in batch] for batch in predictions]))
"""


@pytest.mark.slow
def test_exported_formats_predict_the_same_as_keras(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.mlflow_server.connection import connect

    workspace.exports = ("onnx", "litert")
    report = workspace.register()
    assert report["exports"].keys() == {"onnx", "litert"}
    assert all(difference < 1e-5 for difference in report["exports"].values())
    output = capsys.readouterr().out
    for name in ("model.onnx", "model.tflite"):
        assert (workspace.paths.exports / name).stat().st_size > 100
        assert f"{name}: probabilities differ from Keras by at most " in output
    client = connect(workspace.root).client
    run_id = client.get_model_version("tiny", "1").run_id
    assert {file.path for file in client.list_artifacts(run_id, "exports")} == {
        "exports/model.onnx", "exports/model.tflite"
    }  # fmt: skip


def test_a_format_whose_package_is_missing_is_reported(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    workspace.exports = ("onnx",)
    with pytest.raises(
        UserError, match=r"register\.exports: onnx needs the Python package onnxruntime.*make extras EXTRAS=onnx"
    ):
        workspace.register()


@pytest.mark.slow
def test_the_served_champion_predicts_the_same_over_http(workspace: Workspace, server: str, tmp_path: Path) -> None:
    from pipeline.predict import load_network

    workspace.register()
    network = load_network("models:/tiny@champion", workspace.root)
    images = workspace.images()
    expected = network.classify(images)
    assert expected.unfamiliar is not None
    port = free_port()
    elsewhere = tmp_path / "elsewhere"  # from which the project cannot be imported
    elsewhere.mkdir()
    with model_server("models:/tiny@champion", elsewhere, port) as log:
        status, response = post(port, {"inputs": images.tolist()})
        assert status == 200
        predictions = response["predictions"]
        served = np.array([[each["probabilities"][name] for name in workspace.classes] for each in predictions])
        np.testing.assert_allclose(served, expected.probabilities, atol=1e-6)
        assert [each["label"] for each in predictions] == [
            workspace.classes[label] for label in np.tile(np.repeat([0, 1], 5), workspace.copies)
        ]
        assert [each["unfamiliar"] for each in predictions] == expected.unfamiliar.tolist()

        assert post(port, {"instances": images[..., 0].tolist()})[1] == response
        files = [base64.b64encode(encoded(image)).decode() for image in images]
        assert post(port, {"inputs": files})[1] == response
        assert post(port, {"instances": [{"image": file} for file in files]})[1] == response
        assert (
            post(port, {"dataframe_split": {"columns": ["image"], "data": [[file] for file in files]}})[1] == response
        )

        refused: list[tuple[object, str]] = [
            ({"inputs": []}, "at least one sample"),
            ({"inputs": [[[1, 2], [3, 4]]]}, "input 0 must have shape"),
            ({"inputs": [files[0], "no base64!"]}, "input 1 must be a file in base64"),
            ({"inputs": [base64.b64encode(b"no image").decode()]}, "input 0: must be a PNG"),
            ({"inputs": [[["a"] * 4] * 4]}, "nested lists of numbers"),
            ({"inputs": [[[1, 2], [3]]]}, "nested lists of numbers"),
            ({"images": files}, "inputs"),
            (b"{", "JSON"),
        ]
        for content, reason in refused:
            status, text = post(port, content)
            assert 400 <= status < 500, (content, status, text)
            assert reason in text, (content, text)
        assert post(port, b"x", "text/html")[0] == 415
        assert post(port, {"inputs": images.tolist()})[0] == 200
        log.seek(0)
        output = log.read()
        assert "Uvicorn running" in output
        assert not re.search("warning", output, re.IGNORECASE)
    assert not (workspace.root / "mlflow.db").exists()


@pytest.mark.slow
def test_an_application_with_its_own_module_named_pipeline_loads_versions_without_warnings(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.register()
    workspace.network(bias=4.0)
    workspace.register()
    host = tmp_path / "host"
    (host / "pipeline").mkdir(parents=True)
    (host / "pipeline/__init__.py").touch()
    (host / "pipeline/errors.py").write_text('NAME = "the host\'s own"\n')
    (host / "main.py").write_text(HOST_APPLICATION)
    np.save(host / "images.npy", workspace.images())
    files = [base64.b64encode(encoded(image)).decode() for image in workspace.images()]
    (host / "files.json").write_text(json.dumps(files))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "main.py", f"sqlite:///{workspace.root}/mlflow.db"],
        cwd=host,
        env=environment | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert first == [workspace.classes[label] for label in np.tile(np.repeat([0, 1], 5), workspace.copies)]
    assert second.count("upper") > first.count("upper")
    assert not re.search("warning", done.stderr, re.IGNORECASE)


@pytest.mark.slow
def test_the_signature_of_a_version_has_names_and_types(workspace: Workspace) -> None:
    from mlflow.models import get_model_info

    workspace.register()
    workspace.registry()
    signature = get_model_info("models:/tiny/1").signature
    assert [(spec["name"], spec["type"]) for spec in signature.inputs.to_dict()] == [("image", "tensor")]
    assert [(spec["name"], spec["type"]) for spec in signature.outputs.to_dict()] == [
        ("label", "string"), ("probability", "double"), ("probabilities", "map"), ("unfamiliar", "boolean")
    ]  # fmt: skip


def encoded(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image[..., 0]).save(stream, "PNG")
    return stream.getvalue()
