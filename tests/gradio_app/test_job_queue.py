"""The waiting line: first come, first served, a bounded number, and each can leave."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from gradio_app.job_queue import BusyError, CancelledError, Job, JobQueue


@pytest.fixture
def line() -> Iterator[JobQueue]:
    made = JobQueue(concurrency=1, waiting=2)
    yield made
    made.close()


def blocked(begun: Event, go: Event) -> Any:
    def work(job: Job) -> str:
        begun.set()
        go.wait(10)
        return "done"

    return work


def test_one_runs_two_wait_and_a_fourth_is_told_that_it_is_busy(line: JobQueue) -> None:
    begun, go = Event(), Event()
    first = line.submit(blocked(begun, go))
    begun.wait(10)
    second, third = line.submit(lambda _: "second"), line.submit(lambda _: "third")

    with pytest.raises(BusyError, match="busy: 2 studies are waiting already"):
        line.submit(lambda _: "fourth")
    assert (first.ahead, second.ahead, third.ahead) == (0, 1, 2)
    go.set()
    assert [asyncio.run(job.wait()) for job in (first, second, third)] == [
        "done",
        "second",
        "third",
    ]
    assert asyncio.run(line.submit(lambda _: "there is room again").wait())


def test_states_are_the_newest_and_waiting_is_told(line: JobQueue) -> None:
    begun, go, told = Event(), Event(), Event()
    first = line.submit(blocked(begun, go))
    begun.wait(10)

    def work(job: Job) -> None:
        job.publish("half")
        job.publish("whole")
        told.set()

    second = line.submit(work)

    async def follow() -> list[Any]:
        seen = []
        async for state in second.states(lambda ahead: f"{ahead} ahead"):
            seen.append(state)
            go.set()
            assert told.wait(10)  # who is slow to look sees the newest and nothing before
        return seen

    assert asyncio.run(follow()) == ["1 ahead", "whole"]
    assert first.result() == "done"


def test_one_that_waits_can_be_cancelled_and_makes_room(line: JobQueue) -> None:
    begun, go = Event(), Event()
    first = line.submit(blocked(begun, go))
    begun.wait(10)
    second, third = line.submit(lambda _: None), line.submit(lambda _: "third")

    second.cancel()

    assert third.ahead == 1
    go.set()
    with pytest.raises(CancelledError):
        asyncio.run(second.wait())
    assert asyncio.run(third.wait()) == "third"
    assert first.done


def test_one_that_runs_stops_where_it_looks(line: JobQueue) -> None:
    begun, go = Event(), Event()

    def work(job: Job) -> None:
        begun.set()
        go.wait(10)
        job.check()
        pytest.fail("it went on")

    job = line.submit(work)
    begun.wait(10)
    job.cancel()
    go.set()

    with pytest.raises(CancelledError):
        asyncio.run(job.wait())


def test_what_fails_costs_its_own_job(line: JobQueue) -> None:
    def work(job: Job) -> None:
        raise ValueError("broken")

    failed, other = line.submit(work), line.submit(lambda _: "fine")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(failed.wait())
    assert asyncio.run(other.wait()) == "fine"
