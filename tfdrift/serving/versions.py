"""The versions of a model on disk: those that its policy asks for and that load answer, until newer ones are ready."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import grpc
import tensorflow as tf
from google.protobuf.message import Message
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from tfdrift.serving.loading import LoadedModel
from tfdrift.serving.refusal import Refusal, code_of, invalid

START, LOADING = ModelVersionStatus.START, ModelVersionStatus.LOADING
AVAILABLE, END = ModelVersionStatus.AVAILABLE, ModelVersionStatus.END


LARGEST_VERSION = 2**63 - 1  # int64 on the wire


class VersionState(NamedTuple):
    """Where a version stands; `message` is empty unless it could not be loaded."""

    state: int
    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""


class Serving(NamedTuple):
    """The version that answers."""

    version: int
    model: LoadedModel


class VersionedModel:
    """A model and its versions: one thread calls `look`, any number of threads call the rest.

    Args:
        name: what clients call it.
        base_path: folder of the versions.
        report: takes a line for whoever watches the server.
    """

    def __init__(self, name: str, base_path: Path, report: Callable[[str], None]) -> None:
        self.name = name
        self.base_path = base_path
        self.policy = ModelConfig().model_version_policy
        """Which versions answer: the newest (the default), the newest few, all, or some by their numbers."""
        self.labels: Mapping[str, int] = {}
        """Versions by the names that clients may call them."""
        self._report = report
        self._told = ""
        self._loaded: dict[int, Serving] = {}  # replaced, never changed, as `states`
        self.states: dict[int, VersionState] = {}  # replaced, never changed: readers need no lock
        self._seen: dict[int, frozenset] = {}
        self._failed: dict[int, frozenset] = {}

    def serving(self, version: int | None = None) -> Serving:
        """Return what answers.

        Args:
            version: this version; the newest that is loaded if None.

        Raises:
            Refusal: no such version is loaded.
        """
        loaded = self._loaded
        wanted = max(loaded, default=None) if version is None else version
        if wanted not in loaded:
            raise not_found(self.name, version)
        return loaded[wanted]

    def labelled(self, label: str) -> int:
        """Return the version that a label stands for.

        Args:
            label: of the model's configuration.

        Raises:
            Refusal: there is no such label.
        """
        if label not in self.labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return self.labels[label]

    def look(self, *, at_once: bool = False) -> None:
        """Search the folder, and load what the policy asks for; what it asks for no longer goes when others answer.

        A version that fails leaves the one before it answering, and is tried again when its files have changed.

        Args:
            at_once: do not wait until the files of a version stayed the same from one look to the next; a copy may
                be under way.
        """
        try:
            self._look(at_once)
        except OSError as error:
            self._tell(f"{self.name}: cannot look into {self.base_path}: {error.strerror}")

    def _look(self, at_once: bool) -> None:
        folders = version_folders(self.base_path)
        self._failed = {version: seen for version, seen in self._failed.items() if version in folders}
        known = {*folders, *self._loaded}
        self.states = {version: state for version, state in self.states.items() if version in known}
        candidates, most = _aspired(self.policy, folders)
        files: dict[int, frozenset] = {}
        answering: list[int] = []
        for version in sorted(candidates, reverse=True):
            if len(answering) == most:
                break
            if version not in self._loaded:
                files[version] = _files(folders[version])
                if self._failed.get(version) == files[version]:
                    continue
                if not at_once and self._seen.get(version) != files[version]:
                    self._set(version, VersionState(START))
                    continue
                self._failed[version] = files[version]
                if not self._load(version, folders[version]):
                    continue
            answering.append(version)
        self._seen = files
        if answering:  # the last one of a model whose versions were all deleted goes on
            for version in self._loaded.keys() - set(answering):
                self._set(version, VersionState(END))
            self._loaded = {version: self._loaded[version] for version in answering}

    def _load(self, version: int, folder: Path) -> bool:
        self._set(version, VersionState(LOADING))
        try:
            model = LoadedModel(folder)
        except Exception as error:  # noqa: BLE001 - a model is a program of somebody else and may fail in any way
            failed = VersionState(END, _code(error), " ".join(str(error).split("\n")[0].split()))
            self._set(version, failed)
            self._tell(f"{self.name}: version {version} cannot be loaded: {failed.message}")
            return False
        before = max(self._loaded, default=None)
        self._loaded = {**self._loaded, version: Serving(version, model)}
        self._set(version, VersionState(AVAILABLE))
        del self._failed[version]
        replaces = before is not None and _aspired(self.policy, [])[1] == 1
        self._tell(f"{self.name}: version {version} answers" + (f" instead of {before}" if replaces else ""))
        return True

    def _tell(self, line: str) -> None:
        if line != self._told:  # a folder that cannot be read would be told of at every look
            self._report(line)
        self._told = line

    def _set(self, version: int, state: VersionState) -> None:
        self.states = {**self.states, version: state}


def _aspired(policy: Message, folders: Collection[int]) -> tuple[Collection[int], int | None]:
    """Return the versions that a policy allows, and of how many of them, the newest first, it wants an answer."""
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return folders, None
    if choice == "specific":
        return [version for version in folders if version in policy.specific.versions], None
    return folders, max(policy.latest.num_versions, 1)


def not_found(name: str, version: int | None) -> Refusal:
    """Return what TF Serving answers when no such version of a model is loaded.

    Args:
        name: of the model.
        version: that was asked for; None for any.
    """
    wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
    return Refusal(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}")


def version_folders(base_path: Path) -> dict[int, Path]:
    """Return the folders that TF Serving takes for versions: those named by a number, leading zeros allowed."""
    if not base_path.is_dir():
        return {}
    folders = (path for path in base_path.iterdir() if path.name.isdecimal() and path.is_dir())
    return {int(path.name): path for path in folders if int(path.name) <= LARGEST_VERSION}


def _files(folder: Path) -> frozenset:
    """Return what tells whether a folder has changed: name, size and time of each file."""
    found = set()
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:  # deleted while we look; the next look sees another set
            continue
        found.add((str(path), status.st_size, status.st_mtime_ns))
    return frozenset(found)


def _code(error: Exception) -> grpc.StatusCode:
    if isinstance(error, tf.errors.OpError):
        return code_of(error.error_code)
    return grpc.StatusCode.NOT_FOUND if isinstance(error, OSError) else grpc.StatusCode.UNKNOWN
