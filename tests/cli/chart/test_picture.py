"""Pictures: what an SVG says of itself, which colours and fonts it has, and what is labelled."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from matplotlib.font_manager import fontManager

from sprocket_grpc.cli.chart.chart import Chart, Drawing, drawing
from sprocket_grpc.cli.chart.fonts import families_for
from sprocket_grpc.cli.chart.picture import write_picture
from sprocket_grpc.cli.times import SECOND

SVG = "{http://www.w3.org/2000/svg}"
BOLD = "\N{MATHEMATICAL BOLD CAPITAL A}"
"""A character that the default font lacks, and another one has that comes with matplotlib."""

UNKNOWN = "\N{LINEAR B SYLLABLE B008 A}"


def drawn(goal: list[int], actual: list[int], title: str = "Works") -> Drawing:
    times = [SECOND * n for n in range(len(goal))]
    return drawing(title, Chart(times, goal, actual), None, times[-1])


def svg(path: Path, goal: list[int], actual: list[int], title: str = "Works") -> ET.Element:
    write_picture(path / "chart.svg", drawn(goal, actual, title))
    return ET.parse(path / "chart.svg").getroot()  # noqa: S314  # our own


def texts(picture: ET.Element) -> list[str]:
    return ["".join(each.itertext()) for each in picture.iter(f"{SVG}text")]


def test_an_svg_has_a_title_and_a_description_and_a_size_that_adapts(tmp_path: Path) -> None:
    picture = svg(tmp_path, [5, 7], [6, 4], title="<Works & \x1b>")
    title, description = picture[0], picture[1]
    assert (title.tag, title.text) == (f"{SVG}title", "Production of <Works & \\x1b>")
    assert description.tag == f"{SVG}desc"
    assert description.text == (
        "Goal from 5 to 7, actual from 4 to 6. "
        "Latest: actual 4 of goal 7: 3 behind, last changed 1970-01-01 00:00:01 UTC."
    )
    assert picture.get("role") == "img"
    assert picture.get("viewBox")
    assert "max-width: 100%" in picture.get("style", "")


def test_every_colour_of_an_svg_has_another_one_for_dark_pages(tmp_path: Path) -> None:
    picture = svg(tmp_path, [5, 7, 6], [6, 4, 6])
    [dark] = [
        each.text or "" for each in picture.iter(f"{SVG}style") if "prefers-color-scheme: dark" in (each.text or "")
    ]
    styles = " ".join(each.get("style", "") for each in picture.iter())
    used = set(re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", styles))
    assert len(used) >= 6
    for each in used:
        assert f'[style*="{each}"]' in dark


@pytest.mark.parametrize(
    ("goal", "actual", "expected"),
    [
        ([5, 7], [6, 4], {"actual", "goal", "ahead", "behind", "4 actual", "7 goal"}),
        ([5, 7], [6, 8], {"actual", "goal", "ahead", "8 actual", "7 goal"}),
        ([5, 7], [4, 7], {"actual", "goal", "behind", "7 both"}),
        ([5], [5], {"actual", "goal", "5 both"}),
    ],
)
def test_the_legend_and_the_ends_name_only_what_is_there(
    tmp_path: Path, goal: list[int], actual: list[int], expected: set[str]
) -> None:
    words = ("actual", "goal", "ahead", "behind", "both")
    shown = {each for each in texts(svg(tmp_path, goal, actual)) if each.split()[-1] in words}
    assert shown == expected


def test_the_values_at_the_ends_do_not_overlap(tmp_path: Path) -> None:
    picture = svg(tmp_path, [0, 1_000_000], [0, 999_999])
    ends = {"1,000,000 goal", "999,999 actual"}
    heights = [float(each.get("y", "")) for each in picture.iter(f"{SVG}text") if {"".join(each.itertext())} <= ends]
    assert abs(heights[0] - heights[1]) >= 12


def test_another_installed_font_has_the_characters_that_the_default_one_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert families_for("Works é ж") == ["DejaVu Sans"]
    assert len(families_for(f"Works {BOLD}")) == 2
    write_picture(tmp_path / "chart.png", drawn([1], [2], title=f"Works {BOLD}"))
    assert capsys.readouterr().err == ""


def test_a_character_that_no_font_has_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [font for font in fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(fontManager, "ttflist", alone)
    write_picture(tmp_path / "chart.png", drawn([1], [2], title=UNKNOWN))
    assert capsys.readouterr().err == (
        "no installed font has all characters of the name; a font such as Noto Sans CJK or Noto Emoji adds them\n"
    )
    write_picture(tmp_path / "chart.svg", drawn([1], [2], title=UNKNOWN))  # which takes the fonts of its viewer
    assert capsys.readouterr().err == ""
