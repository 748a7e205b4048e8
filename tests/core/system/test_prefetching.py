from __future__ import annotations

import threading

import pytest

from ich_cli.core.system import prefetch


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_keep_the_order_of_the_items(workers: int) -> None:
    first = threading.Event()

    def slow_first(item: int) -> int:
        if item == 0 and workers > 1:
            first.wait(5)  # the others are done before it
        if item == 3:
            first.set()
        return item * item

    found = list(prefetch(slow_first, range(50), workers=workers, ahead=8))
    assert found == [n * n for n in range(50)]


@pytest.mark.parametrize("workers", [0, 3])
def test_reads_at_most_the_given_number_ahead(workers: int) -> None:
    taken = []

    def items() -> object:
        for n in range(1000):
            taken.append(n)
            yield n

    mapped = prefetch(lambda n: n, items(), workers=workers, ahead=5)  # type: ignore[arg-type,var-annotated]
    assert next(mapped) == 0
    assert len(taken) <= 6
    mapped.close()
    assert len(taken) <= 6


def test_an_error_is_raised_at_the_position_of_its_item() -> None:
    mapped = prefetch(lambda n: 1 // (2 - n), range(5), workers=2, ahead=4)
    assert next(mapped) == 0
    assert next(mapped) == 1
    with pytest.raises(ZeroDivisionError):
        next(mapped)


def test_threads_end_with_the_generator() -> None:
    mapped = prefetch(lambda n: n, range(100), workers=3, ahead=6)
    next(mapped)
    mapped.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ich-read")]
