"""The manifests for Kubernetes as `kubectl kustomize` renders them, and what is asked of them."""

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
# What is installed for the tests comes before what the machine has.
SEARCH_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

Manifest = dict[str, Any]


def find_program(name: str) -> str:
    """Return the path of a program, or skip the test if this machine has none of that name."""
    program = shutil.which(name, path=SEARCH_PATH)
    if program is None:
        pytest.skip(f"{name} is not installed here")
    return program


def load_yaml(text: str) -> list[Manifest]:
    """Return the documents of a YAML text."""
    return list(YAML(typ="safe", pure=True).load_all(text))


def render(name: str) -> list[Manifest]:
    """Return what a directory of deploy/kubernetes makes, or skip the test if there is nothing to render it with."""
    command = [find_program("kubectl"), "kustomize", str(KUBERNETES / name)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return load_yaml(done.stdout)


def find(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """Return the only manifest of a kind, or the only one whose name begins so."""
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
    """Return where the files of Secrets are in a workload's container, by `SECRET/KEY`."""
    volumes = {each["name"]: each["secret"] for each in workload["spec"]["template"]["spec"]["volumes"]}
    files: dict[str, Path] = {}
    for mount in container(workload)["volumeMounts"]:
        secret = volumes[mount["name"]]
        # Without a list of them, it is a TLS Secret, which always has these two.
        keys = [(item["key"], item["path"]) for item in secret.get("items", [])] or [("tls.crt",) * 2, ("tls.key",) * 2]
        files |= {f"{secret['secretName']}/{key}": Path(mount["mountPath"]) / path for key, path in keys}
    return files


def port_of(address: str) -> int:
    """Return the port of an address to listen on."""
    return int(address.rpartition(":")[2])


def labels_hold(selector: dict[str, str], manifest: Manifest) -> bool:
    """Whether a selector finds a manifest, or the pods of a template."""
    return set(selector.items()) <= set(manifest["metadata"].get("labels", {}).items())


def server_policy(manifests: list[Manifest]) -> Manifest:
    """Return the network policy of the server."""
    [policy] = [
        each["spec"]
        for each in manifests
        if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == "sprocket-grpc"
    ]
    return dict(policy)
