"""Download the files of registered models."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.errors import UserError, message_of
from pipeline.mlflow_server.connection import Server, failures, require_server
from pipeline.params.addresses import hide_password
from pipeline.registry.logged_model import mlflow_pyfunc


@contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """Download a registered model. Yields the folder of its files, which is removed at the end of the block.

    The folder contains `model.keras`, and an out-of-distribution detector unless the version was registered as a plain
    Keras model by an older version.
    """
    mlflow_pyfunc()
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        whole = Path(download_artifacts(uri, dst_path=folder))
        yield next((file.parent for file in sorted(whole.rglob("model.keras"))), whole)


@contextmanager
def fetched_from(uri: str, root: Path) -> Iterator[Path]:
    """Download a registered model from the tracking server. Yields the folder of its files, like `fetched`.

    Args:
        uri: Model URI, such as `models:/fovea-digits@champion` or `models:/fovea-digits/3`.
        root: Root folder of the repository.

    Raises:
        UserError: MLflow cannot be used, or has no such model.
    """
    server = require_server(root, "start it, or select a .keras file with --model")
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(fetched(uri))
        except failures() as error:
            raise UserError(
                f"{uri}: not found in MLflow at {hide_password(server.uri)} ({message_of(error)}); "
                "register a network with `dvc repro`, or with `dvc repro --force --single-item register` if everything "
                f"is up to date; or select another model with --model{_champions(server)}"
            ) from None
        yield folder


def _champions(server: Server) -> str:
    """Return the end of an error message that lists the models with a champion.

    There can be several, since `fovea init` names the model after the dataset.
    """
    try:
        models = server.client.search_registered_models(max_results=1000)
    except failures():
        return ""
    names = [f"models:/{model.name}@champion" for model in models if "champion" in model.aliases]
    return f", such as {', '.join(names)}" if names else ""
