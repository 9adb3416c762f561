"""Where pods run, with which privileges, and what may stop them."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.manifests import Manifest, find, pod_templates, render
from tests.support.pod_security import violations

# What a careless change of a manifest could do, and the violation that it is.
CARELESS: list[tuple[str, Callable[[Manifest, Manifest], Any]]] = [
    ("hostNetwork", lambda pod, _: pod.update(hostNetwork=True)),
    ("hostPID", lambda pod, _: pod.update(hostPID=True)),
    ("hostPath", lambda pod, _: pod["volumes"].append({"name": "node", "hostPath": {"path": "/"}})),
    ("sysctls", lambda pod, _: pod["securityContext"].update(sysctls=[{"name": "kernel.shm_rmid_forced"}])),
    ("runAsNonRoot", lambda pod, _: pod["securityContext"].pop("runAsNonRoot")),
    ("runAsUser", lambda _, server: server["securityContext"].update(runAsUser=0)),
    ("seccompProfile", lambda pod, _: pod["securityContext"].update(seccompProfile={"type": "Unconfined"})),
    ("privileged", lambda _, server: server["securityContext"].update(privileged=True)),
    ("procMount", lambda _, server: server["securityContext"].update(procMount="Unmasked")),
    ("allowPrivilegeEscalation", lambda _, server: server["securityContext"].pop("allowPrivilegeEscalation")),
    ("capabilities", lambda _, server: server["securityContext"]["capabilities"].update(add=["SYS_ADMIN"])),
    ("hostPort", lambda _, server: server["ports"].append({"containerPort": 1, "hostPort": 1})),
    ("host", lambda _, server: server["livenessProbe"].update(tcpSocket={"port": 1, "host": "10.0.0.1"})),
]


def test_pods_meet_the_restricted_pod_security_standard(manifests: list[Manifest]) -> None:
    templates = pod_templates(manifests)
    assert len(templates) == 2
    assert [violations(template["spec"]) for template in templates] == [[], []]


@pytest.mark.parametrize(("violation", "change"), CARELESS, ids=[name for name, _ in CARELESS])
def test_a_careless_change_violates_the_restricted_standard(
    violation: str, change: Callable[[Manifest, Manifest], Any]
) -> None:
    pod = copy.deepcopy(find(render("base"), "Deployment")["spec"]["template"]["spec"])
    change(pod, pod["containers"][0])
    assert violations(pod) == [violation]


def test_production_enforces_the_restricted_standard(in_production: list[Manifest]) -> None:
    labels = find(in_production, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_pods_have_no_token_of_the_cluster_a_read_only_file_system_and_bounded_memory(
    manifests: list[Manifest],
) -> None:
    for template in pod_templates(manifests):
        pod = template["spec"]
        [only] = pod["containers"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert only["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"cpu", "memory"} <= only["resources"]["requests"].keys()
        assert "memory" in only["resources"]["limits"]


def test_pods_of_a_version_are_spread_over_zones_and_nodes(manifests: list[Manifest]) -> None:
    spread = find(manifests, "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    for each in spread:
        assert each["maxSkew"] == 1
        # Not DoNotSchedule: in a cluster of one zone, or when a zone is gone, pods must start nevertheless.
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert each["matchLabelKeys"] == ["pod-template-hash"]  # otherwise the pods of the previous version count too


def test_a_drained_node_takes_one_pod_at_a_time_and_is_not_blocked_by_pods_that_are_not_ready(
    manifests: list[Manifest],
) -> None:
    budget = find(manifests, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert find(manifests, "HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2
