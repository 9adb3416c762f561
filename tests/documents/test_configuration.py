"""docs/configuration.md: its table is that of the code, and has every setting with a description."""

import re

import pytest

from sprocket_grpc.config.environment import PREFIX
from sprocket_grpc.config.settings import SECRETS, Settings
from tests import ROOT
from tools.configuration import descriptions, updated

PAGE = (ROOT / "docs" / "configuration.md").read_text()


def test_the_table_of_settings_is_that_of_the_code() -> None:
    assert updated(PAGE) == PAGE, "run make generate"


def test_every_setting_is_in_the_table_once_and_in_order() -> None:
    names = re.findall(rf"^\| `({PREFIX}\w+)` \|", PAGE, re.MULTILINE)
    assert names == sorted(PREFIX + name.upper() for name in Settings.model_fields)


def test_descriptions_are_of_settings_only_and_are_sentences() -> None:
    found = descriptions()
    assert set(found) == set(Settings.model_fields)
    assert [name for name, text in found.items() if not re.fullmatch(r"[A-Z`].*\.", text)] == []


@pytest.mark.parametrize("name", [name for name, field in Settings.model_fields.items() if field.default is None])
def test_a_setting_without_a_default_says_what_happens_without_it(name: str) -> None:
    switched_on_by_it = name.startswith(("tls_", "jwt_"))
    assert switched_on_by_it or "By default, " in descriptions()[name]


def test_the_file_variable_of_every_secret_is_documented() -> None:
    assert set(re.findall(rf"`{PREFIX}(\w+)_FILE`", PAGE)) == {name.upper() for name in SECRETS}
