"""docs/testing.md: its programs in other languages run, each where its language is installed, and leave no server."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.storage.embedded.servers import open_directory
from tests.support.command_line import environment
from tests.support.documents import blocks
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

PROGRAMS = {block.language: block.text for block in blocks((ROOT / "docs" / "testing.md").read_text())}
FILES = {"go": "ephemeral_test.go", "java": "Ephemeral.java", "javascript": "ephemeral.test.mjs"}
COMMANDS = {
    "go": ["go", "test", "."],
    "java": ["java", "Ephemeral.java"],
    "javascript": ["node", "--test", "ephemeral.test.mjs"],
}
SECONDS = 110


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory for temporary files, which PostgreSQL can enter when tests run as root."""
    with open_directory() as path:
        yield path


@pytest.mark.parametrize("language", FILES)
def test_a_program_of_the_document_starts_a_server_and_ends_it(language: str, directory: Path, tmp_path: Path) -> None:
    if not shutil.which(COMMANDS[language][0]):
        pytest.skip(f"{COMMANDS[language][0]} is not installed")
    (tmp_path / FILES[language]).write_text(PROGRAMS[language])
    variables = environment({}) | {
        "GO111MODULE": "off",
        "GOCACHE": str(tmp_path / "cache"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "TMPDIR": str(directory),
    }
    done = subprocess.run(
        COMMANDS[language], cwd=tmp_path, env=variables, capture_output=True, check=False, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(lambda: not list(directory.glob("sprocket-*")))
