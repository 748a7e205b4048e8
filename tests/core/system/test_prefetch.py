from __future__ import annotations

import threading

import pytest

from ich_cli.core.system import Recent, map_ahead


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_keep_the_order_of_the_items(workers: int) -> None:
    first = threading.Event()

    def slow_first(item: int) -> int:
        if item == 0 and workers > 1:
            first.wait(5)  # the others are done before it
        if item == 3:
            first.set()
        return item * item

    found = list(map_ahead(slow_first, range(50), workers=workers, ahead=8))
    assert found == [n * n for n in range(50)]


@pytest.mark.parametrize("workers", [0, 3])
def test_reads_no_further_ahead_than_told(workers: int) -> None:
    taken = []

    def items() -> object:
        for n in range(1000):
            taken.append(n)
            yield n

    mapped = map_ahead(lambda n: n, items(), workers=workers, ahead=5)  # type: ignore[arg-type,var-annotated]
    assert next(mapped) == 0
    assert len(taken) <= 6
    mapped.close()
    assert len(taken) <= 6


def test_an_error_comes_out_where_its_item_stood() -> None:
    mapped = map_ahead(lambda n: 1 // (2 - n), range(5), workers=2, ahead=4)
    assert next(mapped) == 0
    assert next(mapped) == 1
    with pytest.raises(ZeroDivisionError):
        next(mapped)


def test_threads_end_with_the_iterator() -> None:
    mapped = map_ahead(lambda n: n, range(100), workers=3, ahead=6)
    next(mapped)
    mapped.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ich-read")]


def test_recent_keeps_the_last_ones_used() -> None:
    made: list[str] = []
    recent: Recent[str] = Recent(2)

    def get(key: str) -> str:
        return recent.get(key, lambda: made.append(key) or key.upper())

    assert [get(key) for key in "abacab"] == list("ABACAB")
    assert made == ["a", "b", "c", "b"]  # at c, b was used longest ago
