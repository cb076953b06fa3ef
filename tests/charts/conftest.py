"""Renders the chart and the overlays, each once for all tests."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "deploy/helm/wattprint"
KUSTOMIZE = REPOSITORY / "deploy/kustomize"
PROGRAMS = Path(sys.prefix) / "bin"
# What the chart says that it runs on; kubernetes-validate has the schemas of these.
VERSIONS = [f"1.{minor}" for minor in range(28, 38)]
VARIANTS = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
OVERLAYS = ["base", *sorted(f"overlays/{path.name}" for path in (KUSTOMIZE / "overlays").iterdir())]


def call(program, *arguments, succeeds=True):
    """What a program prints, and what it complains of if it isn't meant to succeed."""
    done = subprocess.run([PROGRAMS / program, *arguments], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (done.returncode == 0) == succeeds, f"{program} {arguments}: {done.stdout[-2000:]}{done.stderr}"
    return done.stdout if succeeds else done.stdout + done.stderr


@functools.cache
def helm(variant="default", *arguments, version="1.37", chart=CHART):
    """The chart's documents with the values of a file in ci/ and those of `--set`, or of another option where it is named."""
    values = CHART / f"ci/{variant}-values.yaml"
    text = call("helm", "template", "wattprint", str(chart), "--namespace=wattprint", f"--kube-version={version}",
                f"--values={values}", *(each if each.startswith("--") else f"--set={each}" for each in arguments))
    return documents(text)


@functools.cache
def kustomize(path):
    """The documents of a directory with a kustomization."""
    return documents(call("kubectl", "kustomize", str(KUSTOMIZE / path)))


def documents(text):
    """All that isn't empty."""
    return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def of_kind(found, kind, name=None):
    """The documents of a kind and, where one is given, of a name."""
    return [each for each in found if each["kind"] == kind and name in (None, each["metadata"]["name"])]


def only(found, kind, name=None):
    """The only document of a kind and name."""
    [document] = of_kind(found, kind, name)
    return document


def container(found):
    """The daemon's container."""
    [found] = only(found, "DaemonSet")["spec"]["template"]["spec"]["containers"]
    return found


@pytest.fixture(scope="session")
def binary():
    """The daemon, which knows whether a configuration is good."""
    return os.environ["WATTPRINT_BINARY"]


@pytest.fixture(scope="session")
def operator_findings():
    """Asks the Prometheus Operator's validators about documents; says what is wrong with each."""
    def ask(asked):
        done = subprocess.run([PROGRAMS / "node", "operator.mjs"], input=json.dumps(asked), capture_output=True,
                              text=True, cwd=sys.prefix, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    (Path(sys.prefix) / "operator.mjs").write_text((Path(__file__).parent / "operator.mjs").read_text())
    return ask
