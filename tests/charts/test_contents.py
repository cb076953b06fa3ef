"""Rules and dashboards are those of the repository, in the chart, in its package and in kustomize."""

import base64
import gzip
import json
import shutil
import tarfile

import pytest
import yaml
from conftest import CHART, REPOSITORY, VARIANTS, call, documents, helm, kustomize, of_kind

RULES = {path.stem: path for path in (REPOSITORY / "deploy/prometheus/rules").glob("*.yml")}
DASHBOARDS = {path.name: path.read_text() for path in (REPOSITORY / "dashboards").glob("*.json")}
# What the API server takes of one object, and the annotation of `kubectl apply`.
MOST_OF_AN_OBJECT, MOST_OF_AN_ANNOTATION = 1024 * 1024, 256 * 1024


def test_rules_are_those_of_the_files():
    made = {each["metadata"]["name"]: each["spec"] for each in of_kind(helm("gpu-operator"), "PrometheusRule")}
    wanted = {f"wattprint-{name}": yaml.safe_load(path.read_text()) for name, path in RULES.items()}
    assert len(wanted) > 5
    assert made.pop("wattprint-carbon-budgets")
    assert made == wanted
    assert "{{ $labels" in json.dumps(made["wattprint-alerts"])


def test_rules_can_be_left_out():
    left = of_kind(helm("gpu-operator", "prometheusRule.exclude[0]=alerts"), "PrometheusRule")
    assert "wattprint-alerts" not in [each["metadata"]["name"] for each in left]
    assert len(left) == len(RULES)


def test_budgets_are_as_in_the_example():
    [made] = [each for each in of_kind(helm("gpu-operator"), "PrometheusRule")
              if each["metadata"]["name"] == "wattprint-carbon-budgets"]
    [group] = made["spec"]["groups"]
    [example] = yaml.safe_load((REPOSITORY / "deploy/prometheus/budgets.example.yml").read_text())["groups"]
    assert (group["name"], group["interval"]) == (example["name"], example["interval"])
    assert [example["rules"][index] for index in (0, 2, 3)] == group["rules"]


@pytest.mark.parametrize("grams", [0.5, 1234567, 12345678901])
def test_a_budget_is_as_large_as_it_is_said(grams, tmp_path):
    values = tmp_path / "values.yaml"
    values.write_text(f"budgets: {{nodes: [{{name: a, grams: {grams}}}]}}")
    [made] = of_kind(documents(call("helm", "template", "wattprint", str(CHART), f"--values={values}")), "PrometheusRule")
    [rule] = made["spec"]["groups"][0]["rules"]
    assert float(rule["expr"].removeprefix("vector(").removesuffix(")")) == grams


def test_dashboards_are_those_of_the_files():
    made = [each for each in of_kind(helm("gpu-operator"), "ConfigMap") if "config.toml" not in each["data"]]
    assert {name: text for each in made for name, text in each["data"].items()} == DASHBOARDS
    for each in made:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"] == {"grafana_folder": "wattprint"}
        assert each["metadata"]["namespace"] == "monitoring"
        assert len(json.dumps(each)) < MOST_OF_AN_ANNOTATION < MOST_OF_AN_OBJECT, each["metadata"]["name"]


def test_kustomize_has_the_same():
    made = kustomize(REPOSITORY / "dashboards")
    assert {name: text for each in made for name, text in each["data"].items()} == DASHBOARDS
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "1" for each in made)
    [made] = kustomize(REPOSITORY / "deploy/prometheus")
    assert made["data"] == {path.name: path.read_text() for path in RULES.values()}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The packed chart, away from the repository."""
    place = tmp_path_factory.mktemp("package")
    call("helm", "package", str(CHART), f"--destination={place}")
    [archive] = place.iterdir()
    return archive


def test_the_package_has_all_and_nothing_more(package):
    with tarfile.open(package) as archive:
        names = {member.name.removeprefix("wattprint/") for member in archive if member.isfile()}
    wanted = {f"files/rules/{path.name}" for path in RULES.values()} | {f"files/dashboards/{name}" for name in DASHBOARDS}
    assert {name for name in names if name.startswith("files/")} == wanted
    assert {"README.md", "values.schema.json", "templates/NOTES.txt"} <= names
    assert not {name for name in names if name.startswith("ci/")}


def test_the_package_renders_the_same(package):
    for variant in VARIANTS:
        values = shutil.copy(CHART / f"ci/{variant}-values.yaml", package.parent / "values.yaml")
        text = call("helm", "template", "wattprint", str(package), "--namespace=wattprint", "--kube-version=1.37", f"--values={values}")
        assert documents(text) == helm(variant), variant


def test_a_release_fits_into_its_secret(package):
    """Helm keeps chart and manifests in one Secret, compressed and in base 64."""
    with tarfile.open(package) as archive:
        files = {member.name: base64.b64encode(archive.extractfile(member).read()).decode() for member in archive}
    release = json.dumps([files, yaml.safe_dump_all(helm("gpu-operator"))])
    assert len(base64.b64encode(base64.b64encode(gzip.compress(release.encode())))) < MOST_OF_AN_OBJECT


def test_versions_agree():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = next(line.split('"')[1] for line in (REPOSITORY / "Cargo.toml").read_text().splitlines() if line.startswith("version"))
    assert chart["appVersion"] == chart["version"] == version
    assert f":{version}\n" in chart["annotations"]["artifacthub.io/images"]
    assert f":{version}\n" in (REPOSITORY / "deploy/kustomize/base/daemonset.yaml").read_text()
