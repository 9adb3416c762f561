"""Three members of etcd, of which one may fail."""

from dataclasses import dataclass, field
from pathlib import Path

from reliability.ha.process import Process, start
from reliability.ha.programs import Programs
from tests.support.ports import free_port

_MEMBERS = 3


@dataclass
class Member:
    """A member of etcd.

    Attributes:
        name: Its name.
        client: The port for clients.
        peer: The port for the other members.
        process: Its process, once it was started.
    """

    name: str
    client: int = field(default_factory=free_port)
    peer: int = field(default_factory=free_port)
    process: Process | None = None

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        if self.process:
            self.process.kill()
            self.process.wait()

    @property
    def as_peer(self) -> str:
        """How the other members are told about it."""
        return f"{self.name}=http://127.0.0.1:{self.peer}"


class Etcd:
    """The members of one cluster, with their data in a directory.

    Attributes:
        members: The members.
    """

    def __init__(self, programs: Programs, directory: Path) -> None:
        self.members = [Member(f"etcd-{n}") for n in range(1, _MEMBERS + 1)]
        self._programs = programs
        self._directory = directory

    @property
    def hosts(self) -> str:
        """The addresses for clients, as Patroni takes them."""
        return ",".join(f"127.0.0.1:{member.client}" for member in self.members)

    def start(self) -> None:
        """Start all members that do not run."""
        for member in self.members:
            if not member.process or member.process.poll() is not None:
                member.process = self._start(member)

    def kill(self) -> None:
        """Kill all members."""
        for member in self.members:
            member.kill()

    def _start(self, member: Member) -> Process:
        client, peer = f"http://127.0.0.1:{member.client}", f"http://127.0.0.1:{member.peer}"
        options = {
            "name": member.name,
            "data-dir": str(self._directory / member.name),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": ",".join(each.as_peer for each in self.members),
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        return start(self._programs.account, self._directory / f"{member.name}.log", {}, self._programs.etcd, *words)
