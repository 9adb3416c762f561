"""Several processes use one embedded PostgreSQL: it runs as long as one of them does, and no longer."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from sprocket_grpc.storage.embedded.pid_file import read_pid_file
from tests.storage.embedded.servers import (
    command_line,
    eventually,
    is_gone,
    next_line,
    owner,
    processes,
    query,
    stored_teeth,
)

pytestmark = pytest.mark.slow

STEPS = 16
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(1000)))


def leave(user: subprocess.Popen[str]) -> None:
    """End in an orderly way."""
    user.communicate(timeout=30)


def kill(user: subprocess.Popen[str]) -> None:
    user.kill()
    user.wait()


Way: TypeAlias = Callable[[subprocess.Popen[str]], None]
WAYS: list[Way] = [leave, kill]


@contextmanager
def users(directory: Path) -> Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str], str]]:
    """Run a process that starts a server and one that joins it."""
    with owner(directory) as first:
        url = next_line(first)
        with owner(directory) as second:
            assert next_line(second) == url
            yield first, second, url


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("order", [1, -1], ids=["the one that started it", "the one that joined it"])
def test_the_server_runs_until_its_last_user_ends(used_directory: Path, way: Way, order: int) -> None:
    with users(used_directory) as (first, second, url):
        leaving, staying = (first, second)[::order]
        pid = read_pid_file(used_directory).pid
        way(leaving)
        assert query(url, "SELECT 'running'") == "running"
        assert read_pid_file(used_directory).pid == pid
        way(staying)
        assert eventually(lambda: is_gone(used_directory, url), 30)


def test_a_user_that_ends_in_an_orderly_way_has_stopped_the_server_if_it_was_the_last(used_directory: Path) -> None:
    with users(used_directory) as (first, second, url):
        leave(first)
        leave(second)
        assert is_gone(used_directory, url)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="/proc is needed to find the guard")
def test_the_server_runs_on_when_its_guard_is_killed_and_stops_with_its_last_user(used_directory: Path) -> None:
    with users(used_directory) as (first, second, url):
        [guard] = [pid for pid in processes() if f"guard_program\0{used_directory}\0" in command_line(pid)]
        os.kill(guard, signal.SIGKILL)
        leave(first)
        assert query(url, "SELECT 'running'") == "running"
        leave(second)
        assert is_gone(used_directory, url)


class Crowd:
    """Users that come and go at random. The server answers as long as there is one."""

    def __init__(self, directory: Path, until_the_end: ExitStack) -> None:
        self._directory = directory
        self._until_the_end = until_the_end
        self._present: list[subprocess.Popen[str]] = []
        self.url = ""

    def one_comes(self) -> None:
        user = self._start()
        self.url = next_line(user)
        assert self.url
        self._present.append(user)

    def one_is_killed_at_its_start(self) -> None:
        user = self._start()
        time.sleep(random.random())  # noqa: S311  # no secret
        user.kill()
        user.wait()

    def one_goes(self) -> None:
        if self._present:
            user = self._present.pop(random.randrange(len(self._present)))  # noqa: S311  # no secret
            random.choice(WAYS)(user)  # noqa: S311  # no secret

    def all_are_killed_and_one_comes(self) -> None:
        while self._present:
            self._present.pop().kill()
        self.one_comes()

    def _start(self) -> subprocess.Popen[str]:
        return self._until_the_end.enter_context(owner(self._directory))

    def has_a_server(self) -> bool:
        """Whether the server answers, or has no users."""
        return not self._present or query(self.url, "SELECT 'running'") == "running"


@pytest.mark.timeout(300)
def test_the_server_answers_every_user_in_any_order_of_starts_ends_and_kills(used_directory: Path) -> None:
    random.seed(SEED)
    with ExitStack() as until_the_end:
        crowd = Crowd(used_directory, until_the_end)
        done = []
        for _ in range(STEPS):
            step = random.choice(  # noqa: S311  # no secret
                [crowd.one_comes, crowd.one_goes, crowd.all_are_killed_and_one_comes, crowd.one_is_killed_at_its_start]
            )
            done.append(step.__name__)
            step()
            assert crowd.has_a_server(), f"TEST_SEED={SEED}: {done}"
        crowd.one_comes()
    assert eventually(lambda: is_gone(used_directory, crowd.url), 30), f"TEST_SEED={SEED}: {done}"
    assert stored_teeth(used_directory) == "12"
