"""Three nodes and etcd, on ports of the loopback interface."""

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from reliability.database import ROLE
from reliability.ha.etcd import Etcd
from reliability.ha.node import Node
from reliability.ha.programs import CONFIGURATION, Programs

_NODES = 3
_WHOLE = [("leader", "running")] + [("quorum_standby", "streaming")] * (_NODES - 1)
_PATIENCE_SECONDS = 120
_POLL_SECONDS = 0.1


class ClusterError(Exception):
    """The cluster is not as it must be, after a long wait."""


class Cluster:
    """A cluster.

    Attributes:
        directory: Where the data and the logs are.
        etcd: Its etcd.
        nodes: Its nodes.
        password: The password of all roles.
    """

    def __init__(self, programs: Programs, directory: Path) -> None:
        self.directory = directory
        self.password = secrets.token_hex()
        self.etcd = Etcd(programs, directory)
        roles = {"SUPERUSER": "postgres", "REPLICATION": "replicator", "REWIND": "rewinder"}
        variables = {"PATRONI_ETCD3_HOSTS": self.etcd.hosts}
        for kind, role in roles.items():
            variables |= {f"PATRONI_{kind}_USERNAME": role, f"PATRONI_{kind}_PASSWORD": self.password}
        self.nodes = [Node(f"node-{n}", programs, directory, variables) for n in range(1, _NODES + 1)]

    def start_ended(self) -> None:
        """Start what does not run."""
        self.etcd.start()
        for node in self.nodes:
            node.start()

    def start(self) -> None:
        """Start what does not run, and wait until there are a leader and two replicas that stream from it.

        Raises:
            ClusterError: That takes longer than two minutes.
        """
        self.start_ended()
        wait_until(self.is_whole, "a leader and two replicas")

    def stop(self) -> None:
        """End everything."""
        for node in self.nodes:
            node.stop()
        self.etcd.kill()

    def find_leader(self) -> Node | None:
        """Return the node whose PostgreSQL accepts writes, or None while there is none, or while two say so."""
        found = [node for node in self.nodes if _status(node).get("role") == "primary"]
        return found[0] if len(found) == 1 else None

    def leader(self) -> Node:
        """Return the node whose PostgreSQL accepts writes.

        Raises:
            ClusterError: There is none for two minutes.
        """
        found: list[Node] = []

        def find() -> bool:
            found.extend(filter(None, [self.find_leader()]))
            return bool(found)

        wait_until(find, "a leader")
        return found[0]

    def switch_over(self) -> None:
        """Let another node become the leader.

        Raises:
            ClusterError: Patroni does not for two minutes.
        """
        leader = self.leader()

        def is_done() -> bool:
            with suppress(OSError):  # no replica is ready for it, say
                leader.ask("POST", "/switchover", {"leader": leader.name})
            return self.find_leader() not in (leader, None)

        wait_until(is_done, "a switchover")

    def replicas(self) -> list[Node]:
        """Return the nodes that are not the leader."""
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    def is_whole(self) -> bool:
        """Whether all nodes answer, and the leader waits for one of the replicas that stream from it."""
        answers = [_status(node) for node in self.nodes]
        leaders = [node for node, answer in zip(self.nodes, answers, strict=True) if answer.get("role") == "primary"]
        streaming = [answer for answer in answers if answer.get("replication_state") == "streaming"]
        return len(leaders) == 1 and len(streaming) == _NODES - 1 and self._states(leaders[0]) == _WHOLE

    def _states(self, node: Node) -> list[tuple[str, str]]:
        """Return the role and the state of each node, as one of them knows them."""
        with suppress(OSError):
            return sorted((each["role"], each["state"]) for each in node.ask("GET", "/cluster")["members"])
        return []

    def url(self, role: str = ROLE) -> str:
        """Return the URL of the service's database, with all nodes as its hosts."""
        hosts = ",".join(node.address for node in self.nodes)
        return f"postgresql://{role}:{self.password}@{hosts}/{ROLE}"

    def create_database(self) -> None:
        """Create the role of the service, and its database."""
        with self._connect("postgres", "postgres") as connection:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{self.password}'".encode())
            connection.execute(f"CREATE DATABASE {ROLE} OWNER {ROLE}".encode())

    def _connect(self, role: str, database: str) -> "psycopg.Connection[tuple[Any, ...]]":
        url = self.url(role).removesuffix(ROLE) + database
        return psycopg.connect(f"{url}?target_session_attrs=read-write", autocommit=True)


def _status(node: Node) -> dict[str, Any]:
    """Return what a node says about itself; nothing if it does not answer."""
    with suppress(OSError):
        answer: dict[str, Any] = node.ask("GET", "/patroni")
        return answer
    return {}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds.

    Raises:
        ClusterError: It does not within two minutes.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"not within {_PATIENCE_SECONDS} s: {what}")
        time.sleep(_POLL_SECONDS)


@contextmanager
def new_cluster(programs: Programs) -> Iterator[Cluster]:
    """Run a cluster with an empty database of the service; kill it in the end, and delete its files."""
    directory = Path(tempfile.mkdtemp(prefix="sprocket-ha-"))
    programs.account.give(directory)
    directory.chmod(0o755)
    shutil.copy(CONFIGURATION, directory)
    cluster = Cluster(programs, directory)
    try:
        cluster.start()
        cluster.create_database()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(directory, ignore_errors=True)
