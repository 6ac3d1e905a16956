"""The files of deploy/, held against the schemas of Kubernetes and Compose and each other, and given to a server."""

import copy
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import kubernetes_validate
import numpy as np
import pytest
import yaml
from compose_spec import PyCompose
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.serving.tiny_models import save_half_plus
from tfdrift.export.server_configs import SETTINGS
from tfdrift.serving.client import Client

DEPLOY = Path(__file__).parents[1] / "deploy"
KUBERNETES = "1.33"
DOCUMENTS = [
    (f"{path.stem}-{place}", document)
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for place, document in enumerate(yaml.safe_load_all(path.read_text()))
]
COMPOSE = (DEPLOY / "compose.yaml").read_text()
VERSIONS = (1795361425, 1795372942)


def by_kind(kind):
    return {document["metadata"]["name"]: document for _, document in DOCUMENTS if document["kind"] == kind}


def pods():
    return [deployment["spec"]["template"] for deployment in by_kind("Deployment").values()]


@pytest.mark.parametrize("document", [document for _, document in DOCUMENTS], ids=[name for name, _ in DOCUMENTS])
def test_a_manifest_is_what_kubernetes_takes(document):
    assert kubernetes_validate.validate(copy.deepcopy(document), KUBERNETES, strict=True) == KUBERNETES


def test_a_planted_mistake_in_a_manifest_is_seen():
    wrong = copy.deepcopy(by_kind("Deployment")["tfdrift-stable"])
    wrong["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_the_compose_file_is_of_the_compose_specification():
    PyCompose.from_yaml(merged(COMPOSE)).validate()


def merged(text: str) -> str:
    """Return a file with its anchors and the defaults of its variables put in, as is done before it is checked."""
    return yaml.safe_dump(yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)))


@pytest.mark.parametrize(
    ("right", "wrong"), [("restart:", "restarts:"), ("interval: 10s", "interval: often"), ("ports:", "port:")]
)
def test_a_planted_mistake_in_the_compose_file_is_seen(right, wrong):
    assert right in COMPOSE
    with pytest.raises(ValueError, match=r"\w"):
        PyCompose.from_yaml(merged(COMPOSE.replace(right, wrong))).validate()


def test_what_the_compose_file_mounts_is_there():
    document = yaml.safe_load(merged(COMPOSE))
    mounted = [one.split(":")[0] for service in document["services"].values() for one in service["volumes"]]
    assert {one for one in mounted if "/" not in one} == set(document["volumes"])
    assert [one for one in mounted if "/" in one and not (DEPLOY / one).exists()] == []


def test_what_the_manifests_name_is_there():
    claims, configs = by_kind("PersistentVolumeClaim"), by_kind("ConfigMap")
    for pod in pods():
        models, settings = pod["spec"]["volumes"]
        (server,) = pod["spec"]["containers"]
        assert models["persistentVolumeClaim"]["claimName"] in claims
        files = configs[settings["configMap"]["name"]]["data"]
        named = [one.split("/etc/tfdrift/")[1] for one in server["args"] if "/etc/tfdrift/" in one]
        assert set(named) == set(files)
        assert [one["name"] for one in server["volumeMounts"]] == [models["name"], settings["name"]]


def test_one_service_reaches_both_tracks_by_the_names_of_their_ports():
    (service,) = by_kind("Service").values()
    labels = [pod["metadata"]["labels"] for pod in pods()]
    assert {one["track"] for one in labels} == {"stable", "canary"}
    assert all(service["spec"]["selector"].items() <= one.items() for one in labels)
    for pod in pods():
        ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == ports
    for deployment in by_kind("Deployment").values():
        assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]


def test_a_quarter_goes_to_the_canary_as_its_comment_says():
    replicas = {name: one["spec"]["replicas"] for name, one in by_kind("Deployment").items()}
    assert replicas["tfdrift-canary"] / sum(replicas.values()) == 0.25


def test_both_places_have_the_settings_that_an_export_writes():
    for track in ("stable", "canary"):
        files = by_kind("ConfigMap")[f"tfdrift-{track}"]["data"]
        assert files == {"models.config": (DEPLOY / f"{track}.config").read_text(), **SETTINGS}
    for name, text in SETTINGS.items():
        assert (DEPLOY / name).read_text() == text


def test_the_servers_of_both_places_get_the_same_arguments():
    (arguments,) = {tuple(pod["spec"]["containers"][0]["args"]) for pod in pods()}
    services = yaml.safe_load(COMPOSE)["services"]
    assert {tuple(services[track]["command"]) for track in ("stable", "canary")} == {arguments}


def test_the_split_and_the_measurements_reach_what_there_is():
    services = yaml.safe_load(COMPOSE)["services"]
    nginx = (DEPLOY / "nginx.conf").read_text()
    assert set(re.findall(r"server (\w+):850[01] weight", nginx)) == {"stable", "canary"} <= set(services)
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["metrics_path"] in SETTINGS["monitoring.config"]
    assert [one["targets"] for one in job["static_configs"]] == [["stable:8501"], ["canary:8501"]]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for version, plus in zip(VERSIONS, (2.0, 3.0), strict=True):
        save_half_plus(folder / "my-run" / str(version), plus)
    return folder


@contextmanager
def served(track, models, folder):
    """Yield gRPC's and REST's address of an embedded server with the files of a track and its arguments."""
    text = (DEPLOY / f"{track}.config").read_text().replace("/models/", f"{models}/")
    text_format.Parse(text, ModelServerConfig())
    (folder / "models.config").write_text(text)
    for name in SETTINGS:
        shutil.copy(DEPLOY / name, folder)
    given = yaml.safe_load(COMPOSE)["services"][track]["command"]
    given = [one.replace("/etc/tfdrift", str(folder)) for one in given if "port=" not in one]
    command = [sys.executable, "-m", "tfdrift_cli", "serve", "--engine", "embedded", *given]
    command += ["--grpc-port", "0", "--rest-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3)]
        try:
            yield said[1].split()[1], re.findall(r"127\.0\.0\.1:\d+", said[2])[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.mark.parametrize(("track", "answer"), [("stable", 2.5), ("canary", 3.5)])
def test_a_track_answers_with_its_version_and_its_probes_are_met(track, answer, models, tmp_path):
    with served(track, models, tmp_path) as (grpc, rest):
        with Client(grpc) as client:
            assert client.predict("my-run", {"x": np.array([1.0], np.float32)})["y"] == [answer]
        container = pods()[0]["spec"]["containers"][0]
        for probe in ("startupProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]
            assert urllib.request.urlopen(f"http://{rest}{path}").status == 200
        with pytest.raises(HTTPError, match="404"):
            urllib.request.urlopen(f"http://{rest}{path.replace('my-run', 'other')}")
        assert b"tensorflow" in urllib.request.urlopen(f"http://{rest}/monitoring/prometheus/metrics").read()
        assert healthy(rest, "my-run") == 0
        assert healthy(rest, "other") == 1
    assert healthy(rest, "my-run") == 1


def healthy(rest: str, name: str) -> int:
    """Return how the health check of the compose file ends."""
    (_, *command) = yaml.safe_load(COMPOSE)["services"]["stable"]["healthcheck"]["test"]
    port = rest.split(":")[1]
    command[-1] = command[-1].replace("$$", "$").replace("8501", port).replace("my-run", name)
    return subprocess.run(command, check=False, capture_output=True, env=os.environ, timeout=20).returncode
