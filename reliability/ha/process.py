"""Starts processes as the account of the cluster, and finds those that a process has started."""

import os
import subprocess
from pathlib import Path
from typing import TypeAlias

from sprocket_grpc.storage.embedded.account import Account

Process: TypeAlias = subprocess.Popen[bytes]


def start(account: Account, log: Path, variables: dict[str, str], program: Path, *words: str) -> Process:
    """Start a program in a session of its own, so that Ctrl-C does not reach it, and append its output to a log."""
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"} | variables
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603  # programs that are configured here, without a shell
            [program, *words],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **account.credentials,
        )


def has_word(pid: int, word: str) -> bool:
    """Whether a process runs, and a word is in its command. Linux only."""
    try:
        return word in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run, none if it has ended. Linux only."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
