"""The README is right: its example and its table of settings."""

import asyncio
import re
import sys

from sprocket_grpc.config.environment import PREFIX
from sprocket_grpc.config.settings import SECRETS, Settings
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


def test_the_table_of_settings_is_complete_and_in_order() -> None:
    assert re.findall(rf"^\| `({PREFIX}\w+)` \|", README, re.MULTILINE) == sorted(
        PREFIX + name.upper() for name in Settings.model_fields
    )


def test_the_defaults_in_the_table_of_settings_are_those_of_the_code() -> None:
    rows = re.findall(rf"^\| `{PREFIX}(\w+)` \| `?([^|`]+?)`? \|", README, re.MULTILINE)
    for name, default in rows:
        value = Settings.model_fields[name.lower()].default
        assert value is None or f"{value}" == default, name


def test_the_file_variable_of_every_secret_is_documented() -> None:
    assert set(re.findall(rf"`{PREFIX}(\w+)_FILE`", README)) == {name.upper() for name in SECRETS}
