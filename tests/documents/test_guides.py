"""Every command in every document runs, in the order of the page, and has the documented answer.

A document is in no list here: what it shows is run, except the programs in `NOT_RUN`, each with the reason.
"""

from pathlib import Path

import pytest

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests import ROOT
from tests.support.callers import certificate, server_certificate
from tests.support.documents import Step, find_documents, programs, steps
from tests.support.reader import Reader

pytestmark = pytest.mark.slow

TESTED_ELSEWHERE = {"docs/backup.md": "tests/deployment/test_backup.py", "docs/web.md": "tests/web/test_document.py"}
"""The documents whose commands another test runs."""

NOT_RUN = {
    ".ci/run": "it runs this test",
    ".venv/bin/pytest": "it would run tests within a test",
    ".venv/bin/python -m bench.document": "it needs the results of `make bench`; bench has its own tests",
    ".venv/bin/sprocket-grpc chart Works 0": "it needs `make ha-cluster`; `make ha` follows charts in such a cluster",
    "apt-get": "it changes the machine",
    "cd examples": "`make examples` runs the examples, in CI too",
    "docker": "it needs Docker; tests/deployment checks the files of compose",
    'grpcurl -plaintext -d {"factory": {"id": "01a21019-': "it is for a factory of an example while that runs",
    "kubectl": "it needs a cluster; tests/deployment renders and validates the manifests",
    "make": "the targets are steps of CI, or instruments that run for minutes; `make serve` is run here",
    "pip": "it needs a package index; tests/deployment installs the wheel",
    "psql": "it needs a superuser, and roles are shared with other tests; tests/support/roles.py runs the file",
    "sprocket-grpc migrate --grant": "as psql",
}
"""The beginnings of commands that this test does not run, and why."""


def reason_not_to_run(step: Step) -> str | None:
    """Return the beginning in `NOT_RUN` that one of the programs of a step has, or None."""
    if step.words[:2] == ["make", "serve"]:
        return None
    texts = [" ".join(words) for words in programs(step)]
    return next((beginning for beginning in NOT_RUN for text in texts if text.startswith(beginning)), None)


def runnable(document: str) -> list[Step]:
    """Return the steps of a document that are run."""
    return [step for step in steps(document) if not reason_not_to_run(step)]


DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text() for path in find_documents()}
GUIDES = [name for name, document in DOCUMENTS.items() if runnable(document) and name not in TESTED_ELSEWHERE]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the files that the documents name."""
    root = certificate("root")
    server_certificate(root).write(tmp_path)
    (tmp_path / "ca.crt").write_bytes(root.pem)
    (tmp_path / "protos").symlink_to(ROOT / "protos")
    return tmp_path


@pytest.mark.parametrize("name", GUIDES)
def test_every_command_has_the_documented_answer(name: str, database_url: str, directory: Path) -> None:
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    reader = Reader(database_url, directory, has_web=":8080" in DOCUMENTS[name])
    with reader.opened():
        for step in runnable(DOCUMENTS[name]):
            try:
                reader.do(step)
            except Exception as error:
                error.add_note(f"{name}, line {step.line}: {step.command}")
                raise
    if reader.missing:
        pytest.skip(f"{' and '.join(sorted(reader.missing))} not installed: the other commands were run")


def test_every_reason_not_to_run_a_command_is_needed() -> None:
    reasons = {reason_not_to_run(step) for document in DOCUMENTS.values() for step in steps(document)}
    assert reasons - {None} == set(NOT_RUN)


def test_the_tests_of_other_documents_exist() -> None:
    assert [test for test in TESTED_ELSEWHERE.values() if not (ROOT / test).exists()] == []
    assert set(TESTED_ELSEWHERE) <= set(DOCUMENTS)


def test_the_guides_are_found() -> None:
    assert {"README.md", "docs/grpcurl.md", "docs/command-line.md", "docs/operations.md"} <= set(GUIDES)
