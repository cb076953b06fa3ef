"""What is rendered is what Kubernetes and the Prometheus Operator take."""

import json

import kubernetes_validate
import pytest
from conftest import CHART, OVERLAYS, VARIANTS, VERSIONS, call, container, helm, kustomize, of_kind, only

# Kinds of others than Kubernetes.
OPERATOR = ["PodMonitor", "ServiceMonitor", "PrometheusRule"]
FOREIGN = [*OPERATOR, "SecurityContextConstraints"]


def complaints(found, version):
    """What the strict schemas of a version have against documents."""
    for document in found:
        if document["kind"] in FOREIGN:
            continue
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{document['kind']} {'.'.join(map(str, error.path))}: {error.message}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_chart_fits_all_versions(variant):
    for version in ["1.28", "1.31", "1.37"]:
        helm(variant, version=version)
    for version in VERSIONS:
        rendered = helm(variant, version="1.28" if version in ("1.28", "1.29", "1.30") else "1.31")
        assert not list(complaints(rendered, version)), version
    assert helm(variant, version="1.31") == helm(variant, version="1.37")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_fit_all_versions(overlay):
    for version in VERSIONS:
        assert not list(complaints(kustomize(overlay), version)), version


def test_the_schemas_know_bad_documents():
    bad = json.loads(json.dumps(helm()))
    container(bad)["hostPid"] = True
    assert any("hostPid" in each for each in complaints(bad, "1.37"))


def test_older_versions_than_the_chart_says_are_refused():
    said = call("helm", "template", "wattprint", str(CHART), "--kube-version=1.27", succeeds=False)
    assert ">=1.28" in said


def test_lint_is_content():
    for variant in VARIANTS:
        said = call("helm", "lint", "--strict", str(CHART), f"--values={CHART}/ci/{variant}-values.yaml")
        assert "WARNING" not in said and "ERROR" not in said, said


def test_the_operator_takes_monitors_and_rules(operator_findings):
    asked = [each for variant in VARIANTS for kind in OPERATOR for each in of_kind(helm(variant), kind)]
    assert {each["kind"] for each in asked} == set(OPERATOR)
    assert operator_findings(asked) == [None] * len(asked)
    bad = json.loads(json.dumps(only(helm("gpu-operator"), "PodMonitor")))
    bad["spec"]["podMetricsEndpoints"][0]["honorLabels"] = "yes"
    assert "honorLabels" in operator_findings([bad])[0]


@pytest.mark.parametrize(("variant", "kind", "endpoints"),
                         [("gpu-operator", "PodMonitor", "podMetricsEndpoints"), ("bare-driver", "ServiceMonitor", "endpoints")])
def test_monitors_keep_the_labels_of_workloads(variant, kind, endpoints):
    spec = only(helm(variant), kind)["spec"]
    [endpoint] = spec[endpoints]
    assert endpoint["honorLabels"] is True
    assert endpoint["port"] in [port["name"] for port in container(helm(variant))["ports"]]
    relabelings = endpoint["relabelings"]
    assert {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "instance"} in relabelings
    assert {"regex": "namespace|pod|container|service|endpoint", "action": "labeldrop"} in relabelings
    assert any(each.get("targetLabel") == "cluster" for each in relabelings)
    selected = spec["selector"]["matchLabels"].items()
    scraped = only(helm(variant), "DaemonSet")["spec"]["template"] if kind == "PodMonitor" else only(helm(variant), "Service")
    assert selected <= scraped["metadata"]["labels"].items()
