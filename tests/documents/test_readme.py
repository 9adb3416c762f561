"""The README is right and short."""

import asyncio
import re
import sys

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests import ROOT
from tests.support.service import running_service

README = (ROOT / "README.md").read_text()


async def test_the_python_example_prints_the_sample_data(database_url: str) -> None:
    with create_plain_engine(database_url).begin() as connection:
        seed(connection)
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example
    async with running_service(database_url) as service:
        code = example[1].replace("127.0.0.1:50051", service.address)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.decode().splitlines()[:2] == [
        "Factory 1: 32 of 32",
        "  actual over time: " + " ".join(["32 29 31 30 32"] * 4),
    ]


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_the_readme_leads_to_every_document() -> None:
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    linked = set(re.findall(r"\]\(([\w/.-]+\.md)\)", README))
    linked |= {f"docs/{name}" for name in _links_of_the_cookbook()}
    assert pages - linked == set()


def _links_of_the_cookbook() -> list[str]:
    """Return the pages to which the first page of the cookbook leads."""
    return re.findall(r"\]\((grpcurl-\w+\.md)\)", (ROOT / "docs" / "grpcurl.md").read_text())
