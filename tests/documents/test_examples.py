"""The check of the examples' output, and the installation of their toolchains. `make examples` runs the examples."""

import json
import re
from pathlib import Path

import pytest

from tests import ROOT
from tools.examples.programs import programs
from tools.examples.running import EXPECTED, normalized

FACTORY, OTHER = "01a21019-8be7-732e-ace0-952543ad3fb0", "01a21019-8be7-732e-ace0-952543ad3fb1"
PRINTED = [line.replace("<id>", FACTORY) for line in EXPECTED]
BROKE = PRINTED[5]


def test_the_expected_output_passes_the_check() -> None:
    assert normalized(PRINTED) == EXPECTED


def test_a_program_may_reconnect_repeatedly_until_the_server_is_back() -> None:
    assert normalized([*PRINTED[:5], BROKE, BROKE, *PRINTED[5:]]) == EXPECTED


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [PRINTED[0], PRINTED[1].replace(f"returned {FACTORY}", f"returned {OTHER}"), *PRINTED[2:]],
        [*PRINTED[:5], *PRINTED[6:]],
        [*PRINTED[:6], PRINTED[4], PRINTED[6]],
        PRINTED[:6],
        [*PRINTED, "Segmentation fault"],
    ],
    ids=["nothing", "created twice", "no restart", "history repeated", "change missed", "additional line"],
)
def test_any_other_output_fails_the_check(lines: list[str]) -> None:
    assert normalized(lines) != EXPECTED


def test_ci_installs_all_debian_packages_that_the_examples_need() -> None:
    installed = set((ROOT / ".ci/programs").read_text().split())
    needed = {package for program in programs(Path()) for package in program.needs.values()}
    assert needed - installed == {"nodejs", "npm"}, "the machines of CI have Node.js"


@pytest.mark.parametrize("example", ["node", "web"])
def test_the_lock_files_of_the_typescript_examples_have_hashes_and_no_urls(example: str) -> None:
    packages = json.loads((ROOT / "examples" / example / "package-lock.json").read_text())["packages"]
    installed = {path: package for path, package in packages.items() if path}
    assert len(installed) > 10
    assert [path for path, package in installed.items() if not package["integrity"].startswith("sha512-")] == []
    assert not re.search(r"https?://", json.dumps([package.get("resolved", "") for package in packages.values()]))
