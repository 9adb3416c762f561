"""When `make soak` says that something grows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

from reliability.soak.picture import draw
from reliability.soak.samples import Sample
from reliability.soak.verdict import trends

FLAT = Sample(0, 120, 80, 40, 30, 9, 8, 11, 60)


def samples(resident: Callable[[float], float], seconds: int = 1200) -> list[Sample]:
    return [replace(FLAT, seconds=each, resident=resident(each)) for each in range(0, seconds, 5)]


def growing(found: list[Sample]) -> list[str]:
    return [trend.name for trend in trends(found) if not trend.is_flat]


def test_what_stays_is_flat() -> None:
    assert growing(samples(lambda _: 120)) == []


def test_noise_outliers_and_a_warm_up_are_flat() -> None:
    noise = Random(1)
    assert growing(samples(lambda seconds: 120 + noise.uniform(-5, 5) + (500 if seconds % 100 == 0 else 0))) == []
    assert growing(samples(lambda seconds: min(seconds, 280))) == []


def test_a_slow_leak_grows() -> None:
    assert growing(samples(lambda seconds: 120 + seconds / 60)) == ["resident"]


def test_a_leak_that_takes_hours_grows() -> None:
    assert growing(samples(lambda seconds: 120 + seconds / 1800, seconds=8 * 3600)) == ["resident"]


def test_in_a_short_run_the_first_half_is_the_warm_up() -> None:
    assert growing(samples(lambda seconds: min(seconds, 28) * 10, seconds=60)) == []


def test_the_picture_names_each_curve(tmp_path: Path) -> None:
    found = samples(lambda _: 120)
    draw(found, trends(found), tmp_path / "soak.svg")
    drawn = (tmp_path / "soak.svg").read_text()
    assert all(name in drawn for name in Sample.names())
