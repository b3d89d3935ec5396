"""The manifests in deploy/kubernetes fit the API of Kubernetes, the commands, settings and metrics, and each other.

`kubernetes_validate` has the schemas of Kubernetes itself. What it does not have, the kinds of KEDA and of the operator
of Prometheus, is compared with the fields below, which are those of their definitions that the manifests use.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import typer
import yaml

from agentcontainer.cli.main import app
from agentcontainer.settings import ENV_PREFIX, Settings
from scripts.render_metrics import series

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
FILES = sorted(set(FOLDER.glob("*.yaml")) - {FOLDER / "kustomization.yaml"})
RESOURCES: list[dict[str, Any]] = [
    resource for file in FILES for resource in yaml.safe_load_all(file.read_text())
]
VERSIONS = ("1.29", kubernetes_validate.latest_version())
STOP_SECONDS = {"api": 10, "runner": 30, "migrate": 0}  # docs/operations/install.md, Stopping
PRODUCT = {"app.kubernetes.io/name": "agentcontainer"}


def closed(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


TEXT, NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}


def each(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": item}


POLICY = closed(
    "type value periodSeconds", type={"enum": ["Pods", "Percent"]}, value=NUMBER, periodSeconds=NUMBER
)
RULES = closed("policies", stabilizationWindowSeconds=NUMBER, policies=each(POLICY))
BEHAVIOR = closed("", behavior=closed("", scaleUp=RULES, scaleDown=RULES))
PROMETHEUS = closed(
    "serverAddress query threshold", serverAddress=TEXT, query=TEXT, threshold=TEXT, ignoreNullValues=TEXT
)
TRIGGER = closed(
    "type metadata", type={"const": "prometheus"}, metricType={"enum": ["AverageValue", "Value"]}, metadata=PROMETHEUS
)  # fmt: skip
OPERATORS = {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]}
EXPRESSION = closed("key operator", key=TEXT, operator=OPERATORS, values=each(TEXT))
LABELS = {"type": "object", "additionalProperties": TEXT}
SELECTOR = closed("", matchLabels=LABELS, matchExpressions=each(EXPRESSION))
CUSTOM = {
    ("keda.sh/v1alpha1", "ScaledObject"): closed(
        "scaleTargetRef triggers",
        scaleTargetRef=closed("name", apiVersion=TEXT, kind=TEXT, name=TEXT),
        minReplicaCount=NUMBER, maxReplicaCount=NUMBER, pollingInterval=NUMBER,
        advanced=closed("", horizontalPodAutoscalerConfig=BEHAVIOR), triggers=each(TRIGGER),
    ),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): closed(
        "selector endpoints", selector=SELECTOR,
        endpoints=each(closed("port", port=TEXT, path=TEXT, interval=TEXT)),
    ),
}  # fmt: skip


def named(resource: dict[str, Any]) -> str:
    return f"{resource['kind']}-{resource['metadata']['name']}"


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [resource for resource in RESOURCES if resource["kind"] in kinds]


PODS = of_kind("Deployment", "StatefulSet", "Job")


def container(resource: dict[str, Any]) -> dict[str, Any]:
    [only] = resource["spec"]["template"]["spec"]["containers"]
    return only


@pytest.mark.parametrize("resource", RESOURCES, ids=named)
def test_a_resource_fits_its_schema(resource: dict[str, Any]) -> None:
    key = (resource["apiVersion"], resource["kind"])
    if key in CUSTOM:
        assert set(resource) == {"apiVersion", "kind", "metadata", "spec"}
        jsonschema_rs.validate(CUSTOM[key], resource["spec"])
        return
    for version in VERSIONS:
        kubernetes_validate.validate(resource, version, strict=True)


def test_a_wrong_field_is_found() -> None:
    wrong = json.loads(json.dumps(of_kind("StatefulSet")[0]))
    wrong["spec"]["template"]["spec"]["containers"][0]["securityContext"]["priviledged"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("resource", PODS, ids=named)
def test_a_pod_runs_a_command_that_exists_and_has_the_time_to_stop(resource: dict[str, Any]) -> None:
    command, *options = container(resource)["args"]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = {name for parameter in commands[command].params for name in parameter.opts}
    assert {option for option in options if option.startswith("-")} <= known
    pod = resource["spec"]["template"]["spec"]
    lifecycle = container(resource).get("lifecycle")
    pause = int(lifecycle["preStop"]["exec"]["command"][1]) if lifecycle else 0
    assert pod.get("terminationGracePeriodSeconds", 30) > STOP_SECONDS[command] + pause
    # Variables that Kubernetes makes of services begin with the prefix of our settings.
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    target = "runner" if command == "runner" else "api"
    assert container(resource)["image"] == f"registry.example.com/agentcontainer-{target}:{version}"


@pytest.mark.parametrize("resource", PODS, ids=named)
def test_a_pod_finds_its_settings_secrets_and_volumes(resource: dict[str, Any]) -> None:
    [common], [secret] = of_kind("ConfigMap"), of_kind("Secret")
    pod, only = resource["spec"]["template"]["spec"], container(resource)
    assert only["envFrom"] == [{"configMapRef": {"name": common["metadata"]["name"]}}]
    names = {variable["name"] for variable in only["env"]} | set(common["data"])
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert {name for name in names if name.startswith(ENV_PREFIX)} <= known
    assert {mount["name"] for mount in only["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    for reference in found(only, "secretKeyRef"):
        assert reference["name"] == secret["metadata"]["name"] and reference["key"] in secret["stringData"]
    [mount] = [mount["mountPath"] for mount in only["volumeMounts"] if mount["name"] == "secrets"]
    [volume] = found(pod, "secret")
    files = {f"{mount}/{item['path']}" for item in volume["items"] if item["key"] in secret["stringData"]}
    assert files == {path for name, path in common["data"].items() if name.endswith("_FILE")}


def found(node: Any, key: str) -> Iterator[Any]:
    """Every value of this key in a tree."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from found(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from found(value, key)


def test_what_selects_pods_selects_those_of_one_component() -> None:
    labels = {container(pod)["args"][0]: pod["spec"]["template"]["metadata"]["labels"] for pod in PODS}
    for resource in of_kind("Service", "PodDisruptionBudget", "Deployment", "StatefulSet", "NetworkPolicy"):
        selector = resource["spec"].get("selector") or resource["spec"]["podSelector"]
        wanted = selector.get("matchLabels", selector).items()
        selected = [name for name, own in labels.items() if wanted <= own.items()]
        assert selected == [resource["metadata"]["labels"]["app.kubernetes.io/component"]], named(resource)


def test_services_lead_to_ports_at_which_a_pod_listens() -> None:
    pods = {pod["metadata"]["name"]: pod for pod in PODS}
    for service in of_kind("Service"):
        only = container(pods[service["metadata"]["name"]])
        ports = {port["name"]: port["containerPort"] for port in only["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports)
        addresses = [entry["value"] for entry in only["env"] if entry["name"].endswith("METRICS_ADDRESS")]
        assert addresses == [f"0.0.0.0:{ports['metrics']}"]


def test_prometheus_finds_both_services() -> None:
    [monitor] = of_kind("ServiceMonitor")
    [expression] = monitor["spec"]["selector"]["matchExpressions"]
    assert monitor["spec"]["selector"]["matchLabels"] == PRODUCT
    for service in of_kind("Service"):
        assert service["metadata"]["labels"][expression["key"]] in expression["values"]
        assert monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]


def test_runners_are_scaled_by_metrics_that_exist_and_by_their_capacity() -> None:
    [scaled], [runner] = of_kind("ScaledObject"), of_kind("StatefulSet")
    target = scaled["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", runner["metadata"]["name"])
    metadata = scaled["spec"]["triggers"][0]["metadata"]
    arguments = container(runner)["args"]
    assert metadata["threshold"] == arguments[arguments.index("--capacity") + 1]
    known = series()
    for metric, matchers in re.findall(r"\b(agentcontainer_\w+)(?:\{([^}]*)\})?", metadata["query"]):
        assert set(re.findall(r"(\w+)=", matchers)) <= set(known[metric])


def test_the_kustomization_has_every_file() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert sorted(kustomization["resources"]) == [file.name for file in FILES]
    images = {f"{image['name']}:{image['newTag']}" for image in kustomization["images"]}
    assert images == {container(pod)["image"] for pod in PODS}
