"""The restricted Pod Security Standard, which the namespace of production enforces: what Kubernetes rejects there.

The rules are those of https://kubernetes.io/docs/concepts/security/pod-security-standards/. A field of a security
context that is not named here counts as a violation, so that a new one is looked up there.
"""

from collections.abc import Iterator

from tests.support.manifests import Manifest

_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir"),
    *("ephemeral", "persistentVolumeClaim", "projected", "secret"),
}
_OF_PODS = {"fsGroup", "runAsGroup", "runAsNonRoot", "runAsUser", "seccompProfile"}
_OF_CONTAINERS = _OF_PODS - {"fsGroup"} | {"allowPrivilegeEscalation", "capabilities", "readOnlyRootFilesystem"}
_PROFILES = ("RuntimeDefault", "Localhost")
_HANDLERS = ("startupProbe", "livenessProbe", "readinessProbe")


def violations(pod: Manifest) -> list[str]:
    """Return what the standard forbids in the spec of a pod; empty if the namespace admits it."""
    containers = [each for kind in ("initContainers", "containers") for each in pod.get(kind, [])]
    return [*_of_pod(pod), *(found for each in containers for found in _of_container(pod, each))]


def _of_pod(pod: Manifest) -> Iterator[str]:
    yield from (name for name in ("hostNetwork", "hostPID", "hostIPC", "ephemeralContainers") if pod.get(name))
    yield from pod.get("securityContext", {}).keys() - _OF_PODS
    for volume in pod.get("volumes", []):
        yield from volume.keys() - {"name"} - _VOLUMES


def _of_container(pod: Manifest, container: Manifest) -> Iterator[str]:
    own = container.get("securityContext", {})
    context = pod.get("securityContext", {}) | own
    rules = {
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
        "capabilities": own.get("capabilities") in ({"drop": ["ALL"]}, {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
        "runAsNonRoot": context.get("runAsNonRoot") is True,
        "runAsUser": context.get("runAsUser") != 0,
        "seccompProfile": context.get("seccompProfile", {}).get("type") in _PROFILES,
    }
    yield from (name for name, holds in rules.items() if not holds)
    yield from own.keys() - _OF_CONTAINERS
    yield from ("hostPort" for port in container.get("ports", []) if "hostPort" in port)
    yield from ("host" for each in _HANDLERS for action in container.get(each, {}).values() if _names_a_host(action))
    if "lifecycle" in container:
        yield "lifecycle"


def _names_a_host(action: object) -> bool:
    return isinstance(action, dict) and "host" in action
