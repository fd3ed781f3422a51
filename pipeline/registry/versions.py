"""The model registry: versions of one registered model, found by their digests, and their aliases."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.errors import UserError, message_of
from pipeline.mlflow_server.connection import Server, failures, require_server
from pipeline.params.addresses import hide_password
from pipeline.tracking.mirror import Mirror
from pipeline.tracking.record import RunRecord
from pipeline.tracking.sync import publish_all

Alias = Literal["champion", "challenger"]
DESCRIPTION = "`champion` is the version that serves, `challenger` the last one registered that is not better."
# What the served code imports.
REQUIREMENTS = ("keras", "tensorflow", "numpy", "scipy", "pillow", "mlflow")


@dataclass(frozen=True)
class Version:
    """A version of the registered model."""

    number: int
    tags: Mapping[str, str]
    uri: str


@dataclass(frozen=True)
class Registry:
    """The registered model of one name."""

    server: Server
    name: str

    def versions(self) -> list[Version]:
        """All versions, newest first."""
        found: list[Version] = []
        token = None
        while True:
            page = self.server.client.search_model_versions(f"name = '{self.name}'", page_token=token)
            found += [self._version(version) for version in page]
            token = page.token
            if not token:
                return sorted(found, key=lambda version: version.number, reverse=True)

    def find(self, **tags: str) -> Version | None:
        """The newest version that has all these tags."""
        return next((version for version in self.versions() if tags.items() <= version.tags.items()), None)

    def champion(self) -> Version | None:
        """The version that serves; None before there is one."""
        return self.holder("champion")

    def holder(self, alias: Alias) -> Version | None:
        """The version that has an alias; None if there is none."""
        from mlflow.exceptions import MlflowException

        try:
            return self._version(self.server.client.get_model_version_by_alias(self.name, alias))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def add(
        self,
        network: Path,
        ood_detector: Path,
        run_id: str,
        examples: np.ndarray,
        classes: Sequence[str],
        tags: Mapping[str, str],
        description: str,
    ) -> Version:
        """Log a network on a run, with the code that serves it, and register it as a new version.

        Args:
            network: the .keras file.
            ood_detector: The file of the out-of-distribution detector.
            run_id: the run of its training.
            examples: raw images (n, *grid, channels), in the dtype that the network was trained on.
            classes: their names, in the order of the probabilities.
            tags: tags of the version, there from its first moment.
            description: Markdown for the UI.
        """
        mlflow_pyfunc()
        from mlflow.exceptions import MlflowException

        client = self.server.client
        logged = client.create_logged_model(
            self.server.experiment_id,
            name="model",
            source_run_id=run_id,
            params=client.get_run(run_id).data.params,
            model_type="classifier",
        )
        with tempfile.TemporaryDirectory() as folder:
            # MLflow refuses links that lead out of a folder, which DVC makes of outputs with cache.type symlink.
            files = {
                kind: shutil.copyfile(path, Path(folder, path.name))
                for kind, path in (("model", network), ("ood_detector", ood_detector))
            }
            self._log(logged.model_id, run_id, files, examples, classes)
        try:
            client.create_registered_model(self.name, description=DESCRIPTION)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = client.create_model_version(
            self.name,
            f"models:/{logged.model_id}",
            run_id,
            tags=dict(tags),
            description=description,
            model_id=logged.model_id,
        )
        return self._version(made)

    def _log(
        self, model_id: str, run_id: str, files: Mapping[str, Path], examples: np.ndarray, classes: Sequence[str]
    ) -> None:
        """Fill a logged model with the network, its out-of-distribution detector, and the code that serves them."""
        from mlflow.models import Model

        from pipeline.registry.served_code import served_code
        from pipeline.registry.signature import make_signature

        # Model.log is what mlflow.pyfunc.log_model calls; unlike that, it leaves the run's status and end as they are.
        with served_code() as (package, script):
            Model.log(
                artifact_path=None,
                model_id=model_id,
                flavor=_PyfuncFlavor,
                run_id=run_id,
                python_model=str(script),
                artifacts={kind: str(path) for kind, path in files.items()},
                code_paths=[str(package)],
                input_example=examples,
                signature=make_signature(),
                pip_requirements=[f"{name}=={installed_version(name)}" for name in REQUIREMENTS],
                metadata={"classes": list(classes), "input_shape": list(examples.shape[1:])},
            )

    def tags(self) -> dict[str, str]:
        """Facts about the registered model; none before its first version."""
        from mlflow.exceptions import MlflowException

        try:
            return dict(self.server.client.get_registered_model(self.name).tags or {})
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise

    def tag_model(self, name: str, value: str) -> None:
        """Add a fact to the registered model, or change one."""
        self.server.client.set_registered_model_tag(self.name, name, value)

    def attach(self, version: Version, files: Sequence[Path], folder: str) -> None:
        """Put files into a folder of the artifacts of the run that a version belongs to."""
        run_id = self.server.client.get_model_version(self.name, str(version.number)).run_id
        for file in files:
            self.server.client.log_artifact(run_id, str(file), folder)

    def tag(self, version: Version, name: str, value: str) -> None:
        """Add a fact to a version, or change one."""
        self.server.client.set_model_version_tag(self.name, str(version.number), name, value)

    def update(self, version: Version, tags: Mapping[str, str], description: str) -> None:
        """Add facts to a version, or change them, and replace its description."""
        for name, value in tags.items():
            self.tag(version, name, value)
        self.server.client.update_model_version(self.name, str(version.number), description)

    def assign(self, alias: Alias, version: Version) -> None:
        """Give an alias to a version, which loses the other alias; the version that had this one loses it.

        The runs of their trainings say so in their tag `alias`, which the view for reviewers shows.
        """
        former = self.holder(alias)
        self.server.client.set_registered_model_alias(self.name, alias, str(version.number))
        other: Alias = "challenger" if alias == "champion" else "champion"
        holder = self.holder(other)
        if holder is not None and holder.number == version.number:
            self.server.client.delete_registered_model_alias(self.name, other)
        if former is not None and former.number != version.number:
            self._tag_run(former, f"former {alias}")
        self._tag_run(version, alias)

    def _tag_run(self, version: Version, alias: str) -> None:
        """Tag the run of a version's training with its alias; somebody may have deleted the run."""
        from mlflow.exceptions import MlflowException

        run_id = self.server.client.get_model_version(self.name, str(version.number)).run_id
        with suppress(MlflowException):
            self.server.client.set_tag(str(run_id), "alias", alias)

    def _version(self, version: Any) -> Version:
        return Version(int(version.version), dict(version.tags or {}), f"models:/{self.name}/{version.version}")


def mlflow_pyfunc() -> Any:
    """The module mlflow.pyfunc, imported without the warnings that MLflow's own types give at import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

    return mlflow.pyfunc


class _PyfuncFlavor:
    """mlflow.pyfunc, whose save_model writes the input example into a folder that it has not made yet."""

    @staticmethod
    def save_model(path: str, **arguments: Any) -> None:
        """Make the folder, and save."""
        Path(path).mkdir(parents=True, exist_ok=True)
        mlflow_pyfunc().save_model(path=path, **arguments)


@contextmanager
def open_registry(name: str, root: Path) -> Iterator[Registry]:
    """The registry at the tracking address.

    Raises:
        UserError: MLflow cannot be used, or fails in the meantime.
    """
    server = require_server(root)
    try:
        yield Registry(server, name)
    except failures() as error:
        from mlflow.exceptions import MlflowException

        if isinstance(error, OSError) and not isinstance(error, MlflowException) and error.filename is not None:
            raise  # a local file, not the server
        raise UserError(f"MLflow at {hide_password(server.uri)} failed: {message_of(error)}; try again") from error


def run_of_training(registry: Registry, evaluation: RunRecord, root: Path) -> str:
    """The id of the run that an evaluation belongs to, published from its records if it is missing."""
    mirror = Mirror(registry.server, root)
    publish_all(mirror, root, but="")
    run = mirror.find(evaluation.parent or evaluation.key)
    if run is None:
        mirror.publish(evaluation)
        run = mirror.find(evaluation.parent or evaluation.key)
    if run is None:
        raise UserError(
            f"MLflow at {hide_password(registry.server.uri)}: must show the run that it was given, and does not; "
            "try again"
        )
    return run.run_id
