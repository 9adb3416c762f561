"""What judges the examples, and what brings their toolchains. `make examples` runs the examples themselves."""

import json
import re
from pathlib import Path

import pytest

from tests import ROOT
from tools.examples.programs import programs
from tools.examples.running import EXPECTED, what_it_showed

FACTORY, OTHER = "01a21019-8be7-732e-ace0-952543ad3fb0", "01a21019-8be7-732e-ace0-952543ad3fb1"
SAID = [line.replace("<id>", FACTORY) for line in EXPECTED]
BROKE = SAID[5]


def test_a_program_that_says_what_all_say_is_well() -> None:
    assert what_it_showed(SAID) == EXPECTED


def test_a_stream_may_break_more_than_once_before_the_server_is_back() -> None:
    assert what_it_showed([*SAID[:5], BROKE, BROKE, *SAID[5:]]) == EXPECTED


@pytest.mark.parametrize(
    "said",
    [
        [],
        [SAID[0], SAID[1].replace(f"again {FACTORY}", f"again {OTHER}"), *SAID[2:]],
        [*SAID[:5], *SAID[6:]],
        [*SAID[:6], SAID[4], SAID[6]],
        SAID[:6],
        [*SAID, "Segmentation fault"],
    ],
    ids=["nothing", "created twice", "no restart", "history repeated", "change missed", "more than all say"],
)
def test_a_program_that_says_anything_else_is_not(said: list[str]) -> None:
    assert what_it_showed(said) != EXPECTED


def test_ci_installs_all_that_the_examples_need_from_debian() -> None:
    installed = set((ROOT / ".ci/programs").read_text().split())
    needed = {package for program in programs(Path()) for package in program.needs.values()}
    assert needed - installed == {"nodejs", "npm"}, "Node.js is on the machines of CI"


def test_the_lock_file_of_the_typescript_example_has_hashes_and_no_addresses() -> None:
    packages = json.loads((ROOT / "examples/node/package-lock.json").read_text())["packages"]
    installed = {path: package for path, package in packages.items() if path}
    assert len(installed) > 10
    assert [path for path, package in installed.items() if not package["integrity"].startswith("sha512-")] == []
    assert not re.search(r"https?://", json.dumps([package.get("resolved", "") for package in packages.values()]))
