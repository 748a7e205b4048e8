from __future__ import annotations

import pytest

from ich_cli.core.train.throughput import Pace


def test_the_share_of_waiting_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # begins at 0; asks for a batch at 1 and has it at 3; the step ends at 6; asks at 6, has it
    # at 7; the step ends at 10; asks at 10 and hears at 11 that there is none
    clock = iter([0.0, 1.0, 3.0, 6.0, 6.0, 7.0, 10.0, 10.0])
    monkeypatch.setattr("ich_cli.core.train.throughput.time.perf_counter", lambda: next(clock))
    pace = Pace()
    for batch in pace.waiting_for(["a", "b"]):
        pace.done({"a": 8, "b": 12}[batch])
    assert pace.measured() == {"slices_per_s": 2.0, "loading_share": 0.3}


def test_without_a_step_there_is_no_pace() -> None:
    assert Pace().measured() == {}
