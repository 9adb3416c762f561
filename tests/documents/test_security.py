"""The tests, attacks, files and commands that SECURITY.md names exist."""

import re

from reliability.attack.__main__ import ATTACKS
from tests import ROOT

DOCUMENT = (ROOT / "SECURITY.md").read_text()


def test_every_named_test_has_a_link() -> None:
    named = re.findall(r"\[`(test_\w+)`\]\(([\w/.]+)\)", DOCUMENT)
    assert len(named) > 20
    assert len(named) == len(re.findall(r"`test_\w+`", DOCUMENT))


def test_every_attack_is_named_and_every_named_attack_exists() -> None:
    assert sorted(re.findall(r"`make attack ONLY=(\w+)`: ", DOCUMENT)) == sorted(ATTACKS)


def test_every_threat_has_a_control_and_a_proof() -> None:
    threats = DOCUMENT.partition("## Threats and controls")[2]
    rows = re.findall(r"^\| (?!threat |---)(.+) \|$", threats, re.MULTILINE)
    assert len(rows) > 40
    proof = re.compile(r"\[`test_\w+`\]|`make \w+|\[(Makefile|Dockerfile)\]")
    assert [row for row in rows if row.count(" | ") != 2 or not proof.search(row.split(" | ")[2])] == []


def test_every_named_file_and_command_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", DOCUMENT) if not link.startswith("http")]
    assert [link for link in links if not (ROOT / link.partition("#")[0]).exists()] == []
    makefile = (ROOT / "Makefile").read_text()
    commands = set(re.findall(r"`make (\w+)[ `]", DOCUMENT))
    assert commands
    assert [name for name in commands if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
