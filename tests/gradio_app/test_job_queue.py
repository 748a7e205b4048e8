"""Tests of the job queue: order, limit and cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from gradio_app.job_queue import BusyError, CancelledError, Job, JobQueue


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    made = JobQueue(concurrency=1, waiting=2)
    yield made
    made.close()


def blocked(begun: Event, go: Event) -> Any:
    def work(job: Job) -> str:
        begun.set()
        go.wait(10)
        return "done"

    return work


def test_job_beyond_the_limit_is_refused_as_busy(queue: JobQueue) -> None:
    begun, go = Event(), Event()
    first = queue.submit(blocked(begun, go))
    begun.wait(10)
    second, third = queue.submit(lambda _: "second"), queue.submit(lambda _: "third")

    with pytest.raises(BusyError, match="busy: 2 studies are waiting already"):
        queue.submit(lambda _: "fourth")
    assert (first.ahead, second.ahead, third.ahead) == (0, 1, 2)
    go.set()
    assert [asyncio.run(job.wait()) for job in (first, second, third)] == [
        "done",
        "second",
        "third",
    ]
    assert asyncio.run(queue.submit(lambda _: "a position is free again").wait())


def test_states_are_the_newest_and_include_waiting(queue: JobQueue) -> None:
    begun, go, told = Event(), Event(), Event()
    first = queue.submit(blocked(begun, go))
    begun.wait(10)

    def work(job: Job) -> None:
        job.publish("half")
        job.publish("whole")
        told.set()

    second = queue.submit(work)

    async def follow() -> list[Any]:
        seen = []
        async for state in second.states(lambda ahead: f"{ahead} ahead"):
            seen.append(state)
            go.set()
            assert told.wait(10)  # a slow follower sees only the newest state
        return seen

    assert asyncio.run(follow()) == ["1 ahead", "whole"]
    assert first.result() == "done"


def test_cancelled_waiting_job_frees_its_position(queue: JobQueue) -> None:
    begun, go = Event(), Event()
    first = queue.submit(blocked(begun, go))
    begun.wait(10)
    second, third = queue.submit(lambda _: None), queue.submit(lambda _: "third")

    second.cancel()

    assert third.ahead == 1
    go.set()
    with pytest.raises(CancelledError):
        asyncio.run(second.wait())
    assert asyncio.run(third.wait()) == "third"
    assert first.done


def test_running_job_stops_at_its_next_check(queue: JobQueue) -> None:
    begun, go = Event(), Event()

    def work(job: Job) -> None:
        begun.set()
        go.wait(10)
        job.check()
        pytest.fail("the job did not stop")

    job = queue.submit(work)
    begun.wait(10)
    job.cancel()
    go.set()

    with pytest.raises(CancelledError):
        asyncio.run(job.wait())


def test_failure_affects_only_its_own_job(queue: JobQueue) -> None:
    def work(job: Job) -> None:
        raise ValueError("broken")

    failed, other = queue.submit(work), queue.submit(lambda _: "fine")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(failed.wait())
    assert asyncio.run(other.wait()) == "fine"
