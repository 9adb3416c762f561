"""The workflows of GitHub, the image's labels, and the container for development."""

import json
import os
import re
import subprocess
from typing import Any

import pytest

from sprocket_grpc import __version__
from tests import ROOT
from tests.support.manifests import Manifest, find_program, load_yaml

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WRITES = {
    "wheel": {"attestations": "write", "contents": "write", "id-token": "write"},
    "image": {"attestations": "write", "contents": "read", "id-token": "write", "packages": "write"},
}
"""What the jobs of a release may do: no job may create a release and push an image."""


def read(name: str) -> Manifest:
    [document] = load_yaml((ROOT / ".github" / "workflows" / name).read_text())
    return document


def scripts(job: dict[str, Any]) -> str:
    """Return the scripts of a job."""
    return "\n".join(step["run"] for step in job["steps"] if "run" in step)


def step(job: dict[str, Any], action: str) -> dict[str, Any]:
    """Return the only step of a job with an action."""
    [found] = [each for each in job["steps"] if each.get("uses", "").startswith(f"{action}@")]
    return dict(found)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        *(("vendor.github-workflows", f".github/workflows/{each.name}") for each in WORKFLOWS),
        *(("custom.github-workflows-require-timeout", f".github/workflows/{each.name}") for each in WORKFLOWS),
        ("vendor.dependabot", ".github/dependabot.yml"),
        ("vendor.compose-spec", "docker-compose.yml"),
    ],
)
def test_the_files_are_valid_by_their_schemas(schema: str, path: str) -> None:
    command = [find_program("check-jsonschema"), "--builtin-schema", schema, str(ROOT / path)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version_beside_it(path: Any) -> None:
    lines = [line.strip(" -") for line in path.read_text().splitlines() if "uses:" in line]
    assert lines
    pinned = re.compile(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")
    assert [line for line in lines if not pinned.fullmatch(line)] == []


def test_an_action_has_the_same_commit_in_all_workflows() -> None:
    used = {line for path in WORKFLOWS for line in re.findall(r"uses: (\S+@\S+)", path.read_text())}
    assert len(used) == len({action.partition("@")[0] for action in used})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_job_keeps_the_credentials_of_the_checkout(path: Any) -> None:
    for job in read(path.name)["jobs"].values():
        assert step(job, "actions/checkout")["with"]["persist-credentials"] is False


# The release.


def test_a_release_begins_with_a_tag_and_its_jobs_may_do_only_what_they_need() -> None:
    release = read("release.yml")
    assert release["on"] == {"push": {"tags": ["v*"]}}
    assert release["permissions"] == {}
    assert {name: job["permissions"] for name, job in release["jobs"].items()} == WRITES
    assert release["jobs"]["image"]["needs"] == "wheel"


def test_a_release_has_a_wheel_with_its_sbom_and_an_image_each_with_a_provenance() -> None:
    jobs = read("release.yml")["jobs"]
    assert step(jobs["wheel"], "actions/attest-build-provenance")["with"]["subject-path"].split() == [
        "dist/*.whl",
        "build/sbom.json",
    ]
    assert "gh release create" in scripts(jobs["wheel"])
    assert "--sbom=true --provenance=mode=max" in scripts(jobs["image"])
    attested = step(jobs["image"], "actions/attest-build-provenance")["with"]
    assert attested["subject-digest"] == "${{ steps.push.outputs.digest }}"
    assert attested["push-to-registry"] is True


@pytest.mark.parametrize(
    ("tag", "released"),
    [(f"v{__version__}", True), (f"v{__version__}.1", False), ("v0", False), ("v...", False)],
)
def test_only_the_tag_of_the_version_is_released(tag: str, *, released: bool) -> None:
    [check] = re.findall(r"^grep .*$", scripts(read("release.yml")["jobs"]["wheel"]), re.MULTILINE)
    environment = {"GITHUB_REF_NAME": tag, "PATH": os.environ["PATH"]}
    done = subprocess.run(["bash", "-c", check], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (done.returncode == 0) is released


def test_the_release_sets_every_argument_of_the_image() -> None:
    image = (ROOT / "Dockerfile").read_text()
    arguments = set(re.findall(r"^ARG (\w+)", image, re.MULTILINE))
    assert set(re.findall(r"--build-arg (\w+)=", scripts(read("release.yml")["jobs"]["image"]))) == arguments
    labels = dict(re.findall(r"org\.opencontainers\.image\.([\w.]+)=(\S+|\"[^\"]*\")", image))
    assert labels.keys() == {"title", "description", "base.name", "version", "revision", "source"}
    assert {value[1:] for value in labels.values() if value.startswith("$")} == arguments


# The container for development.


def test_the_container_for_development_installs_what_tests_need_and_forwards_both_ports() -> None:
    """Checks the fields by hand, because the schema is not available."""
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container.keys() == {
        *("name", "image", "postCreateCommand"),
        *("forwardPorts", "portsAttributes", "customizations"),
    }
    assert container["postCreateCommand"] == "sudo .ci/programs && make .venv/.development"
    assert "$(VENV)/.development:" in (ROOT / "Makefile").read_text()
    assert container["forwardPorts"] == [50051, 8080]
    assert container["portsAttributes"].keys() == {"50051", "8080"}
