"""Log a network, and the code that serves it, as a model of a run."""

import shutil
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.audio_format import AudioFormat
from pipeline.data.volume_format import VolumeFormat
from pipeline.mlflow_server.connection import Server
from pipeline.registry.served_code import served_code
from pipeline.registry.signature import make_signature

# Packages that the served code imports.
REQUIREMENTS = ("keras", "tensorflow", "numpy", "scipy", "pillow", "pydantic", "mlflow")


def log_network(
    server: Server, network: Path, ood_detector: Path, run_id: str, examples: np.ndarray, classes: Sequence[str]
) -> str:
    """Log a network, its out-of-distribution detector, and the code that serves them.

    Args:
        server: MLflow server.
        network: The .keras file.
        ood_detector: The file of the out-of-distribution detector.
        run_id: ID of the run of the network's training.
        examples: Raw images (n, *grid, channels) in the dtype of the training data, as an input example.
        classes: Names of the classes, in the order of the probabilities.

    Returns:
        ID of the logged model.
    """
    mlflow_pyfunc()
    from mlflow.models import Model

    client = server.client
    logged = client.create_logged_model(
        server.experiment_id,
        name="model",
        source_run_id=run_id,
        params=client.get_run(run_id).data.params,
        model_type="classifier",
    )
    with tempfile.TemporaryDirectory() as folder, served_code() as (package, script):
        # MLflow rejects links to files outside a folder. DVC creates them with cache.type symlink.
        files = {
            kind: shutil.copyfile(path, Path(folder, path.name))
            for kind, path in (("model", network), ("ood_detector", ood_detector))
        }
        # mlflow.pyfunc.log_model calls Model.log, but also changes the run's status and end time.
        Model.log(
            artifact_path=None,
            model_id=logged.model_id,
            flavor=_PyfuncFlavor,
            run_id=run_id,
            python_model=str(script),
            artifacts={kind: str(path) for kind, path in files.items()},
            code_paths=[str(package)],
            input_example=examples,
            signature=make_signature(),
            pip_requirements=[f"{name}=={installed_version(name)}" for name in _requirements(network)],
            metadata={"classes": list(classes), "input_shape": list(examples.shape[1:])},
        )
    return str(logged.model_id)


def mlflow_pyfunc() -> Any:
    """Import mlflow.pyfunc without the warnings about MLflow's own type hints, and return the module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

    return mlflow.pyfunc


class _PyfuncFlavor:
    """Replacement for mlflow.pyfunc, whose save_model writes the input example before it creates the folder."""

    @staticmethod
    def save_model(path: str, **arguments: Any) -> None:
        """Create the folder, and save the model."""
        Path(path).mkdir(parents=True, exist_ok=True)
        mlflow_pyfunc().save_model(path=path, **arguments)


def _requirements(network: Path) -> tuple[str, ...]:
    """Packages that serving a network needs: networks for recordings and for volumes also need the decoders."""
    from pipeline.cnn.keras_file import read_input_format

    accepted = read_input_format(network)
    decoders = {AudioFormat: "soundfile", VolumeFormat: "nibabel"}
    more = [package for form, package in decoders.items() if isinstance(accepted, form)]
    return (*REQUIREMENTS, *(package for package in more if find_spec(package) is not None))
