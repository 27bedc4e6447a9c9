"""Recording: exact from many threads, visible at zero, refused with the wrong labels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from maas_api.observability.instruments import Counter, Gauge, Histogram


def test_no_increment_is_lost_among_threads() -> None:
    counter = Counter("c_total", "help")
    histogram = Histogram("h", "help")

    def record(_: int) -> None:
        for _ in range(2000):
            counter.inc()
            histogram.observe(0.3)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(8)))

    assert counter.labels().value == 16000
    assert sum(histogram.labels().value[:-1]) == 16000


def test_known_series_exist_before_anything_happens() -> None:
    counter = Counter("c_total", "help", ("result",), [("valid",), ("invalid",)])
    assert [(labels, series.value) for labels, series in counter.series()] == [(("valid",), 0.0), (("invalid",), 0.0)]
    assert [labels for labels, _ in Gauge("g", "help").series()] == [()]


def test_a_value_on_a_bound_belongs_to_that_bucket() -> None:
    series = Histogram("h", "help", bounds=(0.1, 1.0)).labels()
    for value in (0.1, 0.100001, 1.0, 5.0):
        series.observe(value)
    assert series.value[:-1] == [1, 2, 1]
    assert series.value[-1] == pytest.approx(6.200001)


def test_wrong_labels_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"c_total has the labels \('result',\), got \('a', 'b'\)"):
        Counter("c_total", "help", ("result",)).labels("a", "b")


def test_the_same_labels_give_the_same_series() -> None:
    counter = Counter("c_total", "help", ("result",))
    assert counter.labels("valid") is counter.labels("valid")


def test_a_gauge_that_cannot_be_read_keeps_its_last_value() -> None:
    gauge = Gauge("g", "help")
    answers = iter([7.0])
    gauge.read_from(lambda: next(answers))
    assert gauge.labels().value == 7.0
    assert gauge.labels().value == 7.0
