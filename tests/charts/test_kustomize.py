"""The manifests without Helm agree with the chart."""

import copy

import pytest
from conftest import OVERLAYS, documents, call, helm, kustomize, of_kind, only

GPU_NODES = ["gpu.nodesOnly=true", "gpu.nodeLabels.amd\\.com/gpu\\.present=null", "gpu.nodeLabels.cloud\\.google\\.com/gke-accelerator=null"]
# The values with which the chart makes what an overlay makes.
ALIKE = {
    "base": [],
    "overlays/gpu-operator": [*GPU_NODES, "gpu.nvidia.runtimeClassName=nvidia",
                              "--set-string=nodeSelector.nvidia\\.com/gpu\\.deploy\\.dcgm-exporter=true"],
    "overlays/bare-driver": [*GPU_NODES, "gpu.nvidia.cdi=true"],
    "overlays/no-gpu": ["gpu.nvidia.enabled=false"],
    "overlays/gke": ["priorityClass.create=false",
                     "gpu.nvidia.libraryDir=/home/kubernetes/bin/nvidia/lib64"],
    "overlays/openshift": ["openshift.enabled=true"],
}
# The part of a document that works.
WORKING = {"ClusterRole": "rules", "ClusterRoleBinding": "subjects", "PriorityClass": "value", "Service": "spec",
           "ServiceAccount": "automountServiceAccountToken"}


def chart(overlay):
    """What the chart makes for it, where Kubernetes is the oldest that both are for."""
    return helm("default", *ALIKE[overlay], version="1.28")


def template(found):
    """The pods' template, with what may differ evened out: names, the order of mounts, labels and notes of Helm's."""
    pod = copy.deepcopy(only(found, "DaemonSet")["spec"]["template"])
    spec = pod["spec"]
    for volume in spec["volumes"]:
        volume.get("configMap", {}).pop("name", None)
    for each in (spec["volumes"], spec["containers"][0]["volumeMounts"], spec["containers"][0]["env"]):
        each.sort(key=lambda entry: entry["name"])
    annotations = {key: value for key, value in pod["metadata"]["annotations"].items() if not key.startswith("checksum/")}
    return spec, annotations


def test_every_overlay_is_compared():
    assert sorted(ALIKE) == sorted(OVERLAYS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_daemon_sets_agree(overlay):
    assert template(kustomize(overlay)) == template(chart(overlay))
    kustomized, rendered = (only(found, "DaemonSet")["spec"] for found in (kustomize(overlay), chart(overlay)))
    for key in ("selector", "updateStrategy"):
        assert kustomized[key] == rendered[key]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_else_agrees(overlay):
    for kind, part in WORKING.items():
        made, wanted = of_kind(kustomize(overlay), kind), of_kind(chart(overlay), kind)
        assert [each[part] for each in made] == [each[part] for each in wanted], kind
    wanted = copy.deepcopy(only(chart(overlay), "NetworkPolicy", "wattprint")["spec"])
    # Only Helm has pods that test.
    wanted["ingress"][0]["from"].pop()
    assert only(kustomize(overlay), "NetworkPolicy")["spec"] == wanted


def test_the_constraints_agree():
    def rest(found):
        return {key: value for key, value in only(found, "SecurityContextConstraints").items() if key != "metadata"}
    assert rest(kustomize("overlays/openshift")) == rest(chart("overlays/openshift"))


@pytest.fixture
def with_components(tmp_path):
    """The base with all components, as a user's own kustomization has them."""
    from conftest import KUSTOMIZE
    place = KUSTOMIZE.resolve()
    up = "/".join([".."] * len(tmp_path.resolve().parts[1:]))
    lines = [f"resources: ['{up}{place}/base']", "components:"]
    lines += [f"  - '{up}{path}'" for path in sorted((place / "components").iterdir())]
    (tmp_path / "kustomization.yaml").write_text("\n".join(lines))
    return documents(call("kubectl", "kustomize", str(tmp_path)))


def test_components_make_what_the_chart_makes(with_components):
    openshift = ["openshift.enabled=true", "openshift.clusterMonitoring=true"]
    newer = helm("default", "podMonitor.enabled=true", *openshift, version="1.31")
    assert template(with_components) == template(newer)
    assert template(with_components) != template(chart("base"))
    assert only(with_components, "PodMonitor")["spec"] == only(newer, "PodMonitor")["spec"]
    assert only(with_components, "Role")["rules"] == only(newer, "Role")["rules"]
    for part in ("subjects", "roleRef"):
        assert only(with_components, "RoleBinding")[part] == only(newer, "RoleBinding")[part]
    assert only(with_components, "Namespace")["metadata"]["labels"]["openshift.io/cluster-monitoring"] == "true"


def test_the_namespace_lets_the_pods_in():
    labels = only(kustomize("base"), "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
