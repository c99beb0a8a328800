"""packaging/kubernetes: valid by Kubernetes' own schemas, and what keepline says of itself."""

import copy
from typing import Any, Final

import kubernetes_validate
import pytest

from netns.network.pod import HTTP_PORT, RELAY_UID
from relay.config import Settings
from relay.sidecar.relay import DRAIN_SECONDS

from . import FOLDER, IMAGE, STATE, is_command, read

VERSIONS: Final = ("1.29", kubernetes_validate.latest_version())
"""The first with native sidecars unasked, and the newest."""

POD: Final[dict[str, Any]] = read("kubernetes/pod.yaml")
SANDBOX: Final = read("kubernetes/agent-sandbox.yaml")
PATCH: Final = read("kubernetes/component/sidecar.yaml")
MIB: Final = 1 << 20


def pod(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


def patched() -> dict[str, Any]:
    """Return a deployment to which the component was added, as kustomize does: before its own."""
    made: dict[str, Any] = copy.deepcopy(PATCH)
    made["spec"]["selector"] = {"matchLabels": {"app": "x"}}
    made["spec"]["template"]["metadata"] = {"labels": {"app": "x"}}
    made["spec"]["template"]["spec"]["containers"] = [{"name": "app", "image": "app"}]
    return made


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "whole",
    [POD, read("pod.yaml"), pod(SANDBOX["spec"]["podTemplate"]["spec"]), patched()],
    ids=["pod", "played by podman", "sandbox", "component"],
)
def test_it_is_valid(whole: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(whole, version, strict=True)


def test_a_native_sidecar_is_known_to_the_schemas_and_a_mistake_is_found() -> None:
    wrong = copy.deepcopy(POD)
    relay = wrong["spec"]["initContainers"][1]
    relay["restartPolicies"] = relay.pop("restartPolicy")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize(
    "spec",
    [SANDBOX["spec"]["podTemplate"]["spec"], PATCH["spec"]["template"]["spec"]],
    ids=["sandbox", "component"],
)
def test_each_has_the_pod_s_containers_and_volume(spec: dict[str, Any]) -> None:
    for part in ("initContainers", "volumes", "dnsConfig"):
        assert spec[part] == POD["spec"][part]


def test_the_rules_come_first_then_a_relay_that_stays() -> None:
    rules, relay = POD["spec"]["initContainers"]
    assert is_command(rules["command"])
    assert is_command(relay["command"])
    assert "restartPolicy" not in rules
    assert relay["restartPolicy"] == "Always"
    assert rules["image"] == relay["image"] == IMAGE


def test_only_the_rules_have_a_privilege() -> None:
    containers = POD["spec"]["initContainers"] + POD["spec"]["containers"]
    rules, others = containers[0], containers[1:]
    assert rules["securityContext"]["runAsUser"] == 0
    assert rules["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    for container in containers:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in others:
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["runAsNonRoot"] is True


def test_users_and_ports_are_keepline_s() -> None:
    relay, (program,) = POD["spec"]["initContainers"][1], POD["spec"]["containers"]
    assert relay["securityContext"]["runAsUser"] == RELAY_UID
    assert program["securityContext"]["runAsUser"] not in {0, RELAY_UID}
    assert [port["containerPort"] for port in relay["ports"]] == [HTTP_PORT]
    asked = {name: relay[name]["httpGet"] for name in relay if name.endswith("Probe")}
    ready, live = ({"path": path, "port": HTTP_PORT} for path in ("/ready", "/live"))
    assert asked == {"startupProbe": ready, "readinessProbe": ready, "livenessProbe": live}


def test_the_pod_for_podman_has_the_same_users_and_commands() -> None:
    played = read("pod.yaml")["spec"]
    by_name = {each["name"]: each for each in played["initContainers"] + played["containers"]}
    for name, ours in zip(
        ("keepline-rules", "keepline"), POD["spec"]["initContainers"], strict=True
    ):
        context = ours["securityContext"]
        assert by_name[name]["command"] == ours["command"]
        assert by_name[name]["securityContext"].items() <= context.items()
    assert by_name["agent"]["securityContext"]["runAsUser"] not in {0, RELAY_UID}
    assert played["dnsConfig"] == POD["spec"]["dnsConfig"]


def test_there_is_time_to_drain_and_room_for_the_record() -> None:
    relay, (volume,) = POD["spec"]["initContainers"][1], POD["spec"]["volumes"]
    assert POD["spec"]["terminationGracePeriodSeconds"] > DRAIN_SECONDS
    assert volume["emptyDir"]["medium"] == "Memory"
    size = int(volume["emptyDir"]["sizeLimit"].removesuffix("Mi")) * MIB
    assert size >= 2 * Settings().log_limit * MIB
    assert relay["volumeMounts"] == [{"name": volume["name"], "mountPath": STATE}]
    assert relay["command"][-1] == STATE


def test_programs_wait_for_names_as_long_as_glibc_may() -> None:
    options = {each["name"]: each["value"] for each in POD["spec"]["dnsConfig"]["options"]}
    assert options == {"timeout": "30", "attempts": "5"}  # its most: RES_MAXRETRANS, RES_MAXRETRY


def test_the_component_reaches_each_kind_that_has_a_pod_template() -> None:
    component = read("kubernetes/component/kustomization.yaml")
    assert (component["kind"], component["apiVersion"]) == (
        "Component",
        "kustomize.config.k8s.io/v1alpha1",
    )
    assert {each["target"]["kind"] for each in component["patches"]} == {
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
    }
    folder = FOLDER / "kubernetes/component"
    assert all((folder / each["path"]).is_file() for each in component["patches"])


def test_kustomize_would_put_no_comment_into_lists_of_others() -> None:
    lines = (FOLDER / "kubernetes/component/sidecar.yaml").read_text().splitlines()
    assert [line for line in lines[2:] if "#" in line] == []
