"""The tests, files and commands that SECURITY.md names exist."""

import re

from tests import ROOT

DOCUMENT = (ROOT / "SECURITY.md").read_text()


def test_every_named_test_exists_in_the_linked_file() -> None:
    named = re.findall(r"\[`(test_\w+)`\]\(([\w/.]+)\)", DOCUMENT)
    assert len(named) > 20
    assert len(named) == len(re.findall(r"`test_\w+`", DOCUMENT))
    missing = [
        name
        for name, path in named
        if not re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_every_named_file_and_command_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", DOCUMENT) if not link.startswith("http")]
    assert [link for link in links if not (ROOT / link).exists()] == []
    makefile = (ROOT / "Makefile").read_text()
    commands = set(re.findall(r"`make (\w+)`", DOCUMENT))
    assert commands
    assert [name for name in commands if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_every_link_of_the_operations_guide_has_an_existing_target() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    headings = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", guide, re.MULTILINE)
    }
    links = re.findall(r"\]\(([^)]+)\)", guide)
    assert [link for link in links if link.startswith("#") and link[1:] not in headings] == []
    files = [link for link in links if not link.startswith(("#", "http"))]
    assert [link for link in files if not (ROOT / "docs" / link).exists()] == []
