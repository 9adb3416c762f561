"""Builds all examples whose toolchain is installed, runs them against one server, and prints the results."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import click

from tools.examples.programs import Program, programs
from tools.examples.running import GOAL_AFTER, ExampleError, Run, build, toolchain
from tools.examples.server import Server, fresh_server
from tools.wheel_environment import build_wheel, make_environment

_CONCURRENT_BUILDS = 2  # one waits for the network while the other computes
_SEEDED_FACTORIES = 3


@dataclass
class Outcome:
    """The result of a program.

    Attributes:
        program: The program.
        missing: The Debian packages that have to be installed first.
        failure: The description of the failure; empty without one.
        seconds: The duration of the build.
    """

    program: Program
    missing: list[str] = field(default_factory=list)
    failure: str = ""
    seconds: float = 0

    @property
    def is_ok(self) -> bool:
        """Whether nothing is missing and no step has failed."""
        return not self.missing and not self.failure

    def attempt(self, step: Callable[[], None]) -> None:
        """Run a step, and record its failure."""
        try:
            step()
        except ExampleError as error:
            self.failure = str(error)


@click.command()
def main() -> None:
    """Run the examples. The exit status is 1 if a program with an installed toolchain fails or prints other lines."""
    with ExitStack() as until_the_end:
        directory = Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="sprocket-client-")))
        outcomes = [Outcome(each, each.missing()) for each in programs(_client_environment(directory))]
        server = until_the_end.enter_context(fresh_server())
        with ThreadPoolExecutor(_CONCURRENT_BUILDS) as executor:
            list(executor.map(_build, [each for each in outcomes if each.is_ok]))
        left_over = _run([each for each in outcomes if each.is_ok], server)
        _print(outcomes)
    if left_over:
        sys.exit(f"{left_over} factories are left over: a program created more than it reported")
    sys.exit(any(each.failure for each in outcomes))


def _client_environment(directory: Path) -> Path:
    return make_environment(directory / "environment", build_wheel(directory), ["googleapis-common-protos"])


def _build(outcome: Outcome) -> None:
    # The protos of google.rpc, for languages without a package of them.
    spec = find_spec("google.rpc.status_pb2")
    googleapis = Path(spec.origin).parent.parent.parent if spec and spec.origin else Path()
    begin = time.monotonic()
    outcome.attempt(lambda: build(outcome.program, {"GOOGLEAPIS": str(googleapis)}))
    outcome.seconds = time.monotonic() - begin


def _run(outcomes: Iterable[Outcome], server: Server) -> int:
    """Run programs concurrently, restart the server meanwhile, and return the number of factories they left over."""
    with ExitStack() as until_the_end:
        runs = [(outcome, Run(outcome.program, server.address)) for outcome in outcomes]
        for _, run in runs:
            until_the_end.callback(run.kill)
        for _, run in runs:
            run.wait_until_following()
        server.restart()
        server.change_goals([run.followed for _, run in runs if run.followed], GOAL_AFTER)
        for outcome, run in runs:
            outcome.attempt(run.check)
    return len(server.factories()) - _SEEDED_FACTORIES


def _print(outcomes: list[Outcome]) -> None:
    for each in outcomes:
        if each.failure:
            click.echo(f"{each.program.name}: {each.failure}\n")
    click.echo(f"{'language':<16} {'toolchain':<10} {'build':>6}  result")
    for each in outcomes:
        version = "" if each.missing else toolchain(each.program)
        click.echo(f"{each.program.name:<16} {version:<10} {each.seconds:>4.0f} s  {_result(each)}")


def _result(outcome: Outcome) -> str:
    if outcome.missing:
        return f"not installed: apt-get install {' '.join(outcome.missing)}"
    if outcome.failure:
        return "FAILED, see above"
    return "ok: listed, created once, read an error, followed a chart through a restart"


if __name__ == "__main__":
    main()
