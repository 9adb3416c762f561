"""Runs tests against a mutant, in a copy of the project."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from reliability.mutate.mutants import Mutant

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?\.py(?:::.*?)?)(?: - .*)?$", re.MULTILINE)
_PASSED, _NO_TESTS = 0, 5


class Outcome(Enum):
    """What the tests say of a mutant."""

    NOTICED = "noticed"
    UNNOTICED = "unnoticed"
    UNCLEAR = "unclear"
    """The test that failed does so by chance, or without the mutant too; or the time was up before a test failed."""


@dataclass(frozen=True)
class Result:
    """The outcome of a mutant.

    Attributes:
        outcome: What the tests said.
        seconds: How long they ran.
        test: The test that failed.
    """

    outcome: Outcome
    seconds: float
    test: str = ""


@dataclass(frozen=True)
class Copy:
    """A copy of the project, in which mutants are tried.

    Attributes:
        root: Its folder.
        postgres: The URL of the PostgreSQL that its tests use.
        limit_seconds: The longest time for the tests of a mutant.
    """

    root: Path
    postgres: str
    limit_seconds: float

    def try_mutant(self, mutant: Mutant, tests: Sequence[Path]) -> Result:
        """Run tests until one fails. That one must fail again, and pass without the mutant: no chance, no load."""
        with self._changed(mutant):
            begin = time.monotonic()
            result = self._run([str(each) for each in tests])
            result = replace(result, seconds=time.monotonic() - begin)
            if result.outcome is not Outcome.NOTICED:
                return result
            again = self._run([result.test]).outcome
        without = self._run([result.test]).outcome
        is_clear = (again, without) == (Outcome.NOTICED, Outcome.UNNOTICED)
        return result if is_clear else replace(result, outcome=Outcome.UNCLEAR)

    @contextmanager
    def _changed(self, mutant: Mutant) -> Iterator[None]:
        file = self.root / mutant.path
        file.write_text(mutant.text)
        try:
            yield
        finally:
            file.write_text(mutant.source)

    def _run(self, tests: Sequence[str]) -> Result:
        # The first path wins: programs that the tests start use the copy too, and not the installed checkout.
        environment = {**os.environ, "TEST_DATABASE_URL": self.postgres, "PYTHONPATH": str(self.root)}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:randomly", "--tb=no", *tests]
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(  # noqa: S603  # our own tests
                command, cwd=self.root, env=environment, stdout=output, stderr=output, start_new_session=True
            )
            try:
                code = process.wait(self.limit_seconds)
            except subprocess.TimeoutExpired:
                return Result(Outcome.UNCLEAR, 0)
            finally:
                _kill(process)
            output.seek(0)
            return _result(code, output.read(), tests)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill pytest and the processes that it left behind."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _result(code: int, output: str, tests: Sequence[str]) -> Result:
    if code == _PASSED:
        return Result(Outcome.UNNOTICED, 0)
    if code == _NO_TESTS:
        return Result(Outcome.UNCLEAR, 0)
    failed = _FAILED.search(output)  # none: the mutant cannot be imported, or has ended pytest
    return Result(Outcome.NOTICED, 0, failed[1] if failed else tests[0])


@contextmanager
def copy_of(root: Path) -> Iterator[Path]:
    """Copy what Git knows of a project, and what is new in it, until the block ends."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True)  # noqa: S603  # a constant
    with tempfile.TemporaryDirectory(prefix="sprocket-mutate-") as folder:
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (root / name).is_file():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, Path(folder) / name)
        yield Path(folder)
