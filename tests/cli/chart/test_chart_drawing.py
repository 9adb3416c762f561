"""The parts of a drawing: downsampling, the time axis, and ticks."""

import click
import pytest

from sprocket_grpc.cli.chart.chart import Chart, Entry, drawing
from sprocket_grpc.cli.chart.terminal import Canvas, draw
from sprocket_grpc.cli.chart.ticks import number_ticks, time_ticks
from sprocket_grpc.cli.since import SinceType
from sprocket_grpc.cli.times import DAY, HOUR, SECOND, parse_rfc_3339
from tests.support.charting import ESCAPE


def test_downsampling_keeps_the_ends_and_every_spike() -> None:
    spiky = Chart(list(range(10_000)), [50] * 10_000, [50] * 10_000)
    spiky.goal[1_234], spiky.actual[4_321], spiky.actual[7_777] = 99, 1, 80
    downsampled = spiky.downsampled(20)
    assert len(downsampled) <= 120
    assert (downsampled.time_micros[0], downsampled.time_micros[-1]) == (0, 9_999)
    entries = set(zip(*downsampled.columns, strict=True))
    assert {(1_234, 99, 50), (4_321, 50, 1), (7_777, 50, 80)} <= entries
    assert spiky.downsampled(2_000) is spiky


def test_a_drawing_starts_at_the_start_time_and_ends_now() -> None:
    entries = Chart([10, 20, 20, 30], [1, 2, 3, 4], [5, 6, 7, 8])
    later = drawing("", entries, 25, 100)
    assert (later.chart.time_micros, later.chart.goal, later.chart.actual) == ([25, 30], [3, 4], [7, 8])
    assert (later.start, later.end) == (25, 100)
    assert later.corners == ([25, 30, 30, 100], [3, 3, 4, 4], [7, 7, 8, 8])
    assert drawing("", entries, 5, 100).chart.time_micros == [10, 20, 20, 30]
    everything = Chart([0, 100], [1, 2], [3, 4])
    ends = {now: drawing("", everything, None, now).end for now in (90, 102, 10**9)}
    assert ends == {90: 101, 102: 102, 10**9: 105}
    assert drawing("", Chart([0], [1], [2]), None, 50).end == SECOND


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [(28, 33, 7, [28, 29, 30, 31, 32, 33]), (0, 1000, 5, [0, 500, 1000]), (7, 7, 5, [7]), (-3, 12, 4, [0, 5, 10])],
)
def test_number_ticks_are_round(low: int, high: int, count: int, expected: list[int]) -> None:
    assert number_ticks(low, high, count) == expected


@pytest.mark.parametrize(
    ("length", "labels"),
    [
        (SECOND // 2, ["10:00:00", "10:00:00.2", "10:00:00.4"]),
        (100 * SECOND, ["10:00:00", "10:00:30", "10:01:00", "10:01:30"]),
        (3 * HOUR, ["10:00", "11:00", "12:00", "13:00"]),
        (2 * DAY, ["30 Jan 12:00", "31 Jan 00:00", "31 Jan 12:00", "01 Feb 00:00"]),
        (30 * DAY, ["2026-02-02", "2026-02-09", "2026-02-16", "2026-02-23"]),
        (200 * DAY, ["2026-03", "2026-05", "2026-07"]),
        (3000 * DAY, ["2028", "2030", "2032", "2034"]),
    ],
)
def test_time_ticks_are_round(length: int, labels: list[str]) -> None:
    start = parse_rfc_3339("2026-01-30T10:00:00Z")
    assert [label for _, label in time_ticks(start, start + length, 4)] == labels


@pytest.mark.parametrize(("text", "micros"), [("90s", 90 * SECOND), ("12h", 12 * HOUR), ("4w", 28 * DAY)])
def test_since_is_a_duration(text: str, micros: int) -> None:
    since = SinceType().convert(text, None, None)
    assert since.start(10 * micros) == 9 * micros


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.5z", 500_000),
        ("1970-01-01T01:00:00.000001+01:00", 1),
        ("1970-01-01T00:00:00.000001000Z", 1),
        ("1970-01-01T00:00:00.000001001Z", 2),
        ("1969-12-31T23:59:59.999999999Z", 0),
        ("1969-12-31T23:59:59.9999981234567890Z", -1),
    ],
)
def test_a_time_of_any_number_of_digits_is_the_first_microsecond_that_is_not_before_it(text: str, micros: int) -> None:
    assert parse_rfc_3339(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        *("2016-12-31T23:59:60Z", "2026-02-30T00:00:00Z", "2026-01-01T24:00:01Z", "2026-01-01T00:00:00"),
        *("2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+01:60", "0000-01-01T00:00:00Z"),
    ],
)
def test_another_text_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(click.BadParameter, match="or a time such as"):
        SinceType().convert(text, None, None)


def test_the_gap_between_actual_and_goal_is_described_in_words() -> None:
    assert [Entry(0, 30, actual).gap for actual in (32, 30, 25)] == ["2 ahead", "on goal", "5 behind"]


@pytest.mark.parametrize(("columns", "lines"), [(30, 12), (30, 24), (40, 16), (80, 24)])
def test_no_line_is_wider_than_the_canvas_and_the_chart_keeps_most_of_it(columns: int, lines: int) -> None:
    entries = Chart([0, DAY, 2 * DAY], [1_000, 2_000, 1_500], [2_000, 1_000, 1_500])
    drawn = draw(
        drawing("a factory of sixty characters, which is the longest name but 3", entries, None, DAY),
        Canvas(columns, lines),
    )
    assert max(map(len, drawn)) <= columns
    assert sum("│" in line or "┤" in line for line in drawn) >= lines // 2 - 2
    assert " ".join(" ".join(drawn).split()).count("last changed 1970-01-03 00:00:00 UTC") == 1


def test_where_the_curves_are_equal_there_is_a_third_one() -> None:
    together = Chart([0, SECOND, 2 * SECOND], [1, 2, 3], [1, 2, 4])
    parts = list(drawing("", together, None, 3 * SECOND).coinciding)
    assert parts == [([0, SECOND, SECOND, 2 * SECOND], [1, 1, 2, 2])]
    lines = draw(drawing("x", together, None, 3 * SECOND), Canvas())
    assert "━━━━ both" in lines[2]
    assert "━━━━━━" in "".join(lines[3:])
    apart = draw(drawing("x", Chart([0], [1], [2]), None, SECOND), Canvas())
    assert "━" not in "".join(apart)


def test_colours_are_used_only_if_the_canvas_has_them() -> None:
    entries = Chart([0, SECOND], [1, 2], [2, 1])
    lines = {
        colour: "\n".join(draw(drawing("x", entries, None, SECOND), Canvas(colour=colour))) for colour in (True, False)
    }
    assert f"{ESCAPE}[38;5;6m▄▄▄▄" in lines[True]
    assert ESCAPE not in lines[False]
