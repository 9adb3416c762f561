"""Finds the programs of a cluster, and the account that runs them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from sprocket_grpc.storage.embedded.account import Account, account_for
from sprocket_grpc.storage.embedded.binaries import find_binaries

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "patroni" / "patroni.yml"
"""What every node is configured with: the file that is deployed, unchanged."""

_SYSTEM_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


class MissingProgramError(Exception):
    """A program of the cluster is not installed."""


@dataclass(frozen=True)
class Programs:
    """What a cluster is run with.

    Attributes:
        account: The account that runs all of it: Patroni and PostgreSQL refuse to run as root.
        etcd: The program of etcd.
        patroni: The program of Patroni, in a virtual environment that the account can read.
        postgres: The directory of the programs of PostgreSQL.
    """

    account: Account
    etcd: Path
    patroni: Path
    postgres: Path


def find_programs(patroni: Path) -> Programs:
    """Return the programs of a cluster.

    Args:
        patroni: The virtual environment of Patroni.

    Raises:
        MissingProgramError: One is not installed, or the account cannot run it.
        EmbeddedDatabaseError: There is no PostgreSQL, or no account to run it.
    """
    account = account_for(Path("/"))
    etcd = shutil.which("etcd") or shutil.which("etcd", path=_SYSTEM_PATH)
    if not etcd:
        raise MissingProgramError("etcd is not installed (Debian: apt-get install etcd-server)")
    program = patroni / "bin" / "patroni"
    if not _can_run(account, program):
        raise MissingProgramError(f"{account.name} cannot run {program}, which .ci/patroni installs")
    return Programs(account, Path(etcd), program, find_binaries(account, None).directory)


def _can_run(account: Account, program: Path) -> bool:
    try:
        return account.run(program, "--version").returncode == 0
    except OSError:
        return False
