"""Renders the Kubernetes manifests with `kubectl kustomize`, and reads values from them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
# Programs of the virtual environment take precedence over those of the machine.
SEARCH_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

Manifest = dict[str, Any]


def find_program(name: str) -> str:
    """Return the path of a program, or skip the test if it is not installed."""
    program = shutil.which(name, path=SEARCH_PATH)
    if program is None:
        pytest.skip(f"{name} is not installed")
    return program


def load_yaml(text: str) -> list[Manifest]:
    """Return the documents of a YAML text."""
    return list(YAML(typ="safe", pure=True).load_all(text))


def render(name: str) -> list[Manifest]:
    """Return the manifests of a directory in deploy/kubernetes, or skip the test if kubectl is not installed."""
    return load_yaml(_kustomize(KUBERNETES / name))


def render_overlay(kustomization: str, directory: Path, name: str = "mine") -> list[Manifest]:
    """Return the manifests of a kustomization in deploy/kubernetes, after validating them.

    Args:
        kustomization: The content of its kustomization.yaml.
        directory: An empty directory, for a copy of deploy/kubernetes with the kustomization.
        name: The directory of the kustomization, a new one by default.
    """
    copied = shutil.copytree(KUBERNETES, directory / "kubernetes")
    (copied / name).mkdir(exist_ok=True)
    (copied / name / "kustomization.yaml").write_text(kustomization)
    rendered = _kustomize(copied / name)
    options = ("--strict", "--quiet", "--no-warn")
    command = [find_program("kubernetes-validate"), *options, "-"]
    done = subprocess.run(command, input=rendered, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return load_yaml(rendered)


def _kustomize(directory: Path) -> str:
    command = [find_program("kubectl"), "kustomize", str(directory)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def find(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """Return the only manifest of a kind whose name begins with `name`."""
    [found] = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"].startswith(name)]
    return found


def pod_templates(manifests: list[Manifest]) -> list[Manifest]:
    """Return the templates of all pods."""
    return [each["spec"]["template"] for each in manifests if "template" in each.get("spec", {})]


def container(manifest: Manifest) -> Manifest:
    """Return the only container of a workload."""
    [found] = manifest["spec"]["template"]["spec"]["containers"]
    return dict(found)


def variables(manifests: list[Manifest], workload: Manifest) -> dict[str, str]:
    """Return the environment of a workload's container."""
    described = container(workload)
    found: dict[str, str] = {}
    for source in described.get("envFrom", []):
        found |= find(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    return found | {each["name"]: each["value"] for each in described.get("env", [])}


def mounted_files(workload: Manifest) -> dict[str, Path]:
    """Return the paths of files from Secrets in the container of a workload, by `SECRET/KEY`."""
    volumes = {each["name"]: each["secret"] for each in workload["spec"]["template"]["spec"]["volumes"]}
    files: dict[str, Path] = {}
    for mount in container(workload)["volumeMounts"]:
        secret = volumes[mount["name"]]
        # A Secret without a list of items is a TLS Secret, which always has these two keys.
        keys = [(item["key"], item["path"]) for item in secret.get("items", [])] or [("tls.crt",) * 2, ("tls.key",) * 2]
        files |= {f"{secret['secretName']}/{key}": Path(mount["mountPath"]) / path for key, path in keys}
    return files


def port_of(address: str) -> int:
    """Return the port of an address to listen on."""
    return int(address.rpartition(":")[2])


def labels_hold(selector: dict[str, str], manifest: Manifest) -> bool:
    """Whether a selector matches the labels of a manifest or of a pod template."""
    return set(selector.items()) <= set(manifest["metadata"].get("labels", {}).items())


def server_policy(manifests: list[Manifest]) -> Manifest:
    """Return the network policy of the server."""
    [policy] = [
        each["spec"]
        for each in manifests
        if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == "sprocket-grpc"
    ]
    return dict(policy)
