"""The supervisor handles workers that fail to start, hang, or do not stop."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sprocket_grpc.server.supervisor import RESTART_SECONDS, shared_port
from sprocket_grpc.server.worker_process import WorkerError
from tests.server.supervisor_program import LONGEST_STOP_SECONDS
from tests.support.command_line import PATIENCE_SECONDS, interruptible_environment

pytestmark = pytest.mark.slow


class Supervisor:
    """A supervisor in a process of its own, because a process with gRPC must not fork."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        """Return the next line that the supervisor or a worker prints."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def says(self, line: str) -> bool:
        """Whether this is the next line."""
        return self.line() == line

    def ends(self) -> str:
        """Wait for its end with status 0, and return its log."""
        _, log = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 0, log
        return log


@contextmanager
def supervisor(behaviour: str) -> Iterator[Supervisor]:
    """Run a supervisor whose worker behaves in one of the ways of the program."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-m", "tests.server.supervisor_program", behaviour],
        env=interruptible_environment(),
        stdout=pipe,
        stderr=pipe,
        text=True,
    ) as process:
        try:
            yield Supervisor(process)
        finally:
            process.kill()


def test_a_worker_that_ends_is_replaced_even_if_no_process_can_be_started_at_first() -> None:
    with supervisor("ends_once") as supervised:
        assert supervised.says("ready")
        began = time.monotonic()
        assert supervised.says("replaced")
        assert time.monotonic() - began > 2 * RESTART_SECONDS - 0.2  # a pause before each of the two attempts
        supervised.process.terminate()
        log = supervised.ends()
    assert "worker 0 ended with status 3; replacing it" in log
    assert "cannot start worker 0: [Errno 11] there is no process left" in log


def test_a_supervisor_stops_while_a_worker_does_not_get_ready() -> None:
    with supervisor("never_gets_ready") as supervised:
        assert supervised.says("starting")
        supervised.process.terminate()
        supervised.ends()


def test_a_worker_that_does_not_stop_is_killed_after_the_longest_stop_time() -> None:
    with supervisor("ignores_sigterm") as supervised:
        assert supervised.says("ready")
        began = time.monotonic()
        supervised.process.terminate()
        supervised.ends()
        assert time.monotonic() - began > LONGEST_STOP_SECONDS - 0.1


def test_a_worker_that_does_not_stop_immediately_either_is_killed_after_the_longest_stop_time() -> None:
    with supervisor("ignores_every_signal") as supervised:
        assert supervised.says("ready")
        supervised.process.terminate()
        time.sleep(0.2)  # else both signals may merge
        supervised.process.terminate()
        supervised.ends()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_the_second_signal_reaches_workers_as_the_order_to_stop_immediately(number: signal.Signals) -> None:
    with supervisor("stops") as supervised:
        assert supervised.says("ready")
        supervised.process.send_signal(number)
        assert supervised.says("draining")
        supervised.process.send_signal(number)
        assert supervised.says("stopped immediately")
        supervised.ends()


def test_workers_do_not_share_their_random_numbers() -> None:
    with supervisor("draws_random_numbers") as supervised:
        drawn = [*supervised.line().split(), *supervised.line().split()]
        assert len(set(drawn)) == 4
        assert supervised.says("ready")
        supervised.process.terminate()
        supervised.ends()


def test_workers_can_share_a_port_on_all_interfaces_of_a_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with shared_port("[::]:0") as address:
        port = int(address.removeprefix("[::]:"))
        with pytest.raises(WorkerError, match="is another server running there"), shared_port(f"0.0.0.0:{port}"):
            pass


def test_workers_can_share_a_port_after_a_server_that_did_not_share_it_and_left_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as before:
        host, port = before.getsockname()
        with socket.create_connection((host, port)):
            accepted, _ = before.accept()
            accepted.close()  # the side that closes first keeps the address for a minute
    with shared_port(f"{host}:{port}") as address:
        assert address == f"{host}:{port}"
