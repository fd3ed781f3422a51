"""Versions of a registered model, and their tags and aliases."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.errors import UserError, message_of
from pipeline.mlflow_server.connection import Server, failures, require_server
from pipeline.params.addresses import hide_password
from pipeline.registry.logged_model import log_network

Alias = Literal["champion", "challenger"]
DESCRIPTION = (
    "`champion` is the version that is served, `challenger` is the latest registered version that did not become "
    "champion."
)
IDENTITY = ("model_digest", "lineage")  # tags that identify a network; a network has one version


@dataclass(frozen=True)
class Version:
    """A version of the registered model.

    Attributes:
        number: Version number.
        tags: Tags of the version.
        uri: Model URI, `models:/name/number`.
    """

    number: int
    tags: Mapping[str, str]
    uri: str


@dataclass(frozen=True)
class Registry:
    """A registered model on a server.

    Attributes:
        server: MLflow server.
        name: Name of the registered model.
    """

    server: Server
    name: str

    def versions(self) -> list[Version]:
        """Return all versions, newest first."""
        found: list[Version] = []
        token = None
        while True:
            page = self.server.client.search_model_versions(f"name = '{self.name}'", page_token=token)
            found += [self._version(version) for version in page]
            token = page.token
            if not token:
                return sorted(found, key=lambda version: version.number, reverse=True)

    def find(self, **tags: str) -> Version | None:
        """Return the newest version that has all given tags, or None."""
        return next((version for version in self.versions() if tags.items() <= version.tags.items()), None)

    def champion(self) -> Version | None:
        """Return the champion, or None."""
        return self.holder("champion")

    def holder(self, alias: Alias) -> Version | None:
        """Return the version that has an alias, or None."""
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
        """Log a network and the code that serves it to a run, and register it as a new version.

        Args:
            network: The .keras file.
            ood_detector: The file of the out-of-distribution detector.
            run_id: ID of the run of the network's training.
            examples: Raw images (n, *grid, channels) in the dtype of the training data, as an input example.
            classes: Names of the classes, in the order of the probabilities.
            tags: Tags of the version, set when it is created.
            description: Description for the UI in Markdown.

        Returns:
            The new version, or that of another registration of the same network at the same moment.
        """
        from mlflow.exceptions import MlflowException

        client = self.server.client
        model_id = log_network(self.server, network, ood_detector, run_id, examples, classes)
        try:
            client.create_registered_model(self.name, description=DESCRIPTION)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = client.create_model_version(
            self.name,
            f"models:/{model_id}",
            run_id,
            tags=dict(tags),
            description=description,
            model_id=model_id,
        )
        return self.only(self._version(made))

    def only(self, version: Version) -> Version:
        """Delete a version without alias if there is an earlier one of the same network; return the one that remains.

        Another machine may have registered the network at the same moment. Whoever comes second sees both versions; if
        it is killed before, the next registration does.

        Args:
            version: A version whose registration has not ended.
        """
        identity = {name: version.tags[name] for name in IDENTITY if name in version.tags}
        same = {each.number: each for each in self.versions() if identity.items() <= each.tags.items()}
        first = min(same, default=version.number)
        aliases = self.server.client.get_registered_model(self.name).aliases
        if not identity or first >= version.number or version.number in map(int, aliases.values()):
            return version
        if version.number in same:  # else another registration has deleted it
            self.server.client.delete_model_version(self.name, str(version.number))
        return same[first]

    def tags(self) -> dict[str, str]:
        """Return the tags of the registered model; none before its first version."""
        from mlflow.exceptions import MlflowException

        try:
            return dict(self.server.client.get_registered_model(self.name).tags or {})
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise

    def tag_model(self, name: str, value: str) -> None:
        """Set a tag of the registered model."""
        self.server.client.set_registered_model_tag(self.name, name, value)

    def attach(self, version: Version, files: Sequence[Path], folder: str) -> None:
        """Log files to a folder of the artifacts of a version's run."""
        run_id = self.server.client.get_model_version(self.name, str(version.number)).run_id
        for file in files:
            self.server.client.log_artifact(run_id, str(file), folder)

    def tag(self, version: Version, name: str, value: str) -> None:
        """Set a tag of a version."""
        self.server.client.set_model_version_tag(self.name, str(version.number), name, value)

    def update(self, version: Version, tags: Mapping[str, str], description: str) -> None:
        """Set tags of a version, and replace its description."""
        for name, value in tags.items():
            self.tag(version, name, value)
        self.server.client.update_model_version(self.name, str(version.number), description)

    def assign(self, alias: Alias, version: Version) -> None:
        """Assign an alias to a version and remove it from its former holder; the version loses the other alias.

        The tag `alias` of both training runs is updated. The view for reviewers shows it.
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
        """Set the tag `alias` of the run of a version's training, unless the run was deleted."""
        from mlflow.exceptions import MlflowException

        run_id = self.server.client.get_model_version(self.name, str(version.number)).run_id
        with suppress(MlflowException):
            self.server.client.set_tag(str(run_id), "alias", alias)

    def _version(self, version: Any) -> Version:
        return Version(int(version.version), dict(version.tags or {}), f"models:/{self.name}/{version.version}")


@contextmanager
def open_registry(name: str, root: Path) -> Iterator[Registry]:
    """Open the registry of the tracking server.

    Raises:
        UserError: MLflow cannot be used, or fails within the block.
    """
    server = require_server(root)
    try:
        yield Registry(server, name)
    except failures() as error:
        from mlflow.exceptions import MlflowException

        if isinstance(error, OSError) and not isinstance(error, MlflowException) and error.filename is not None:
            raise  # a local file, not the server
        raise UserError(f"MLflow at {hide_password(server.uri)} failed: {message_of(error)}; try again") from error
