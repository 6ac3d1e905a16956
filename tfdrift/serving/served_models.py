"""The models of a server while it runs: as a configuration says, until another one comes."""

import enum
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import grpc
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from tfdrift.errors import DataError
from tfdrift.serving.configuration import embedded_models
from tfdrift.serving.refusal import Refusal, invalid
from tfdrift.serving.versions import VersionedModel


class LabelRule(enum.Enum):
    """Which labels may stand for a version that does not answer."""

    NONE = "none"
    NEW = "labels that stand for no other version"
    ANY = "any"


class ServedModels(Mapping[str, VersionedModel]):
    """Each model by its name; any thread may read, and any may change them.

    Args:
        report: takes a line for whoever watches the server.
        labels: which labels may stand for a version that does not answer.
        source: of a new configuration, read at every `refresh`; None where there is none.
    """

    def __init__(
        self,
        report: Callable[[str], None],
        *,
        labels: LabelRule = LabelRule.NONE,
        source: Callable[[], ModelServerConfig] | None = None,
    ) -> None:
        self._report, self._label_rule, self._source = report, labels, source
        self._models: dict[str, VersionedModel] = {}  # replaced, never changed: readers need no lock
        self._changing = threading.RLock()
        self._last = ModelServerConfig()
        self._told = ""

    def __getitem__(self, name: str) -> VersionedModel:
        """Return the model of that name."""
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        """Return the names."""
        return iter(self._models)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._models)

    def look(self, *, at_once: bool = False) -> None:
        """Search every model's folder, see `VersionedModel.look`."""
        with self._changing:
            for model in self._models.values():
                model.look(at_once=at_once)

    def configure(self, config: ModelServerConfig) -> None:
        """Serve the models of a configuration and no others; one that stays keeps answering.

        Returns when every new model is loaded or known to have failed.

        Args:
            config: with a model_config_list.

        Raises:
            DataError: it cannot be served, see `embedded_models`; nothing has changed then.
            Refusal: a label stands for a version that does not answer; the models have changed, the labels have not.
        """
        embedded_models(config)
        with self._changing:
            self._last = config
            models = {one.name: self._kept_or_new(one) for one in config.model_config_list.config}
            for one in config.model_config_list.config:
                models[one.name].policy = one.model_version_policy
                models[one.name].look(at_once=True)
            for name in self._models.keys() - models.keys():
                self._report(f"{name}: is no longer served")
            self._models = models
            for one in config.model_config_list.config:
                self._check_labels(one, models[one.name])
            for one in config.model_config_list.config:
                models[one.name].labels = dict(one.version_labels)

    def reload(self, config: ModelServerConfig) -> None:
        """Do what a client's `ReloadConfigRequest` asks for.

        Args:
            config: of the request.

        Raises:
            Refusal: it is no list of models, or as `configure`; or a model has no version that answers.
        """
        if config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        try:
            self.configure(config)
        except DataError as error:
            raise invalid(str(error)) from None
        silent = sorted(name for name, model in self.items() if not _answering(model))
        if silent:
            names = ", ".join(silent)
            raise Refusal(grpc.StatusCode.UNKNOWN, f"Some models did not become available: {{{names}}}")

    def refresh(self) -> None:
        """Read the source again and serve what it says if that has changed; what is wrong with it is told once."""
        if self._source is None:
            return
        try:
            config = self._source()
            if config != self._last:
                self.configure(config)
            self._told = ""
        except (DataError, Refusal) as error:
            line = f"the models stay as they were: {error}"
            if line != self._told:
                self._report(line)
            self._told = line

    def _kept_or_new(self, config: ModelConfig) -> VersionedModel:
        known = self._models.get(config.name)
        if known is not None and known.base_path == Path(config.base_path):
            return known
        return VersionedModel(config.name, Path(config.base_path), self._report)

    def _check_labels(self, config: ModelConfig, model: VersionedModel) -> None:
        for label, version in config.version_labels.items():
            new = model.labels.get(label, version) == version
            if self._label_rule is LabelRule.ANY or (self._label_rule is LabelRule.NEW and new):
                continue
            if version not in _answering(model):
                raise Refusal(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {config.name}, which is not currently "
                    "available for inference",
                )


def _answering(model: VersionedModel) -> set[int]:
    return {version for version, state in model.states.items() if state.state == ModelVersionStatus.AVAILABLE}
