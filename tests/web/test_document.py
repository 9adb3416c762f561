"""docs/web.md: every command runs and has the documented answer, and its call from a page fits the contract."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sprocket_grpc.auth.permissions import REQUIRED
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests import ROOT
from tests.support.command_line import PATIENCE_SECONDS, serving
from tests.support.databases import Databases
from tests.support.documents import Step, steps

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs" / "web.md").read_text()
SHOWN_ADDRESS = "http://127.0.0.1:8080"
LINK = "for browsers and curl: "
STEPS = [each for each in steps(DOCUMENT) if each.command.strip() != "make serve"]


@pytest.fixture(scope="module")
def address(databases: Databases) -> Iterator[str]:
    """The address of a server with the sample data."""
    with databases.take() as url:
        with create_plain_engine(url).begin() as connection:
            seed(connection)
        with serving(database_url=url) as served:
            [line] = [each for each in served.lines if each.startswith(LINK)]
            yield line.removeprefix(LINK).rstrip("/")


@pytest.mark.parametrize("step", STEPS, ids=[f"line {each.line}" for each in STEPS])
def test_every_command_has_the_documented_answer(address: str, step: Step) -> None:
    missing = [name for name in ("curl", "jq") if name in step.command and not shutil.which(name)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")
    variables = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-c", step.command.replace(SHOWN_ADDRESS, address)]
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert (done.stdout.strip(), done.returncode) == (step.answer.strip(), 0), done.stderr


def test_the_call_from_a_page_names_a_method_that_exists() -> None:
    [path] = re.findall(rf'fetch\("{SHOWN_ADDRESS}(\S+)"', DOCUMENT)
    assert path in REQUIRED
