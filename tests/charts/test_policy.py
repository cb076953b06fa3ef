"""A policy scan finds nothing that isn't explained where it stands."""

import json
import os
import subprocess

import pytest
import yaml
from conftest import OVERLAYS, PROGRAMS, VARIANTS, container, helm, kustomize, only


def scan(place):
    """What fails and what is skipped, as (check, resource, reason)."""
    done = subprocess.run([PROGRAMS / "checkov", "--framework=kubernetes", f"--directory={place}", "--skip-download", "--output=json"],
                          capture_output=True, text=True, check=False, env={**os.environ, "LOG_LEVEL": "ERROR"})
    results = json.loads(done.stdout)["results"]
    return [{(each["check_id"], each["resource"], each["check_result"].get("suppress_comment"), each["file_path"])
             for each in results[kind]} for kind in ("failed_checks", "skipped_checks", "passed_checks")]


def without_dashboards(found):
    """They are no policy's matter, and large."""
    return [each for each in found if each["kind"] not in ("PrometheusRule", "ConfigMap")]


def test_findings_are_explained(tmp_path):
    rendered = {f"chart-{variant}": helm(variant) for variant in VARIANTS}
    rendered |= {overlay.replace("/", "-"): kustomize(overlay) for overlay in OVERLAYS}
    for name, found in rendered.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump_all(without_dashboards(found)))
    failed, skipped, passed = scan(tmp_path)
    assert not failed
    assert all(reason and len(reason) > 10 for _, _, reason, _ in skipped)
    assert len({path for *_, path in passed}) == len(rendered)


def test_the_scan_finds_what_is_wrong(tmp_path):
    found = yaml.safe_load(yaml.safe_dump(without_dashboards(helm())))
    container(found)["securityContext"]["privileged"] = True
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump_all(found))
    assert "CKV_K8S_16" in {check for check, *_ in scan(tmp_path)[0]}


# Sockets whose owner is as good as root on the node.
SOCKETS = [
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/docker.sock",
    "/run/docker/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/podman/podman.sock",
]


@pytest.mark.parametrize("runtime", ["containerd", "k3s", "k0s", "microk8s", "docker", "storage"])
def test_no_socket_of_a_runtime_is_mounted(runtime):
    found = helm("default", f"host.runtimes={{{runtime}}}")
    volumes = only(found, "DaemonSet")["spec"]["template"]["spec"]["volumes"]
    paths = [volume["hostPath"]["path"].replace("/var/run", "/run") for volume in volumes if "hostPath" in volume]
    assert len(paths) > 3
    assert not [(path, socket) for path in paths for socket in SOCKETS if f"{socket}/".startswith(path.rstrip("/") + "/")]
