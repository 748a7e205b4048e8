from __future__ import annotations

from pathlib import Path

import pytest

from ich_cli.core.train.monitoring import EventLog, Throughput

RECORD = {"epoch": 1, "step": 5, "loss": 0.5, "auc_any": 0.75, "auc_subdural": None}


def test_throughput_and_loading_share(monkeypatch: pytest.MonkeyPatch) -> None:
    # started at 0; first batch requested at 1, available at 3, step done at 6; second requested
    # at 6, available at 7, step done at 10; at 10 there is none left
    clock = iter([0.0, 1.0, 3.0, 6.0, 6.0, 7.0, 10.0, 10.0])
    monkeypatch.setattr("ich_cli.core.train.monitoring.time.perf_counter", lambda: next(clock))
    throughput = Throughput()
    for batch in throughput.waiting_for(["a", "b"]):
        throughput.done({"a": 8, "b": 12}[batch])
    assert throughput.measured() == {"slices_per_s": 2.0, "loading_share": 0.3}


def test_throughput_is_empty_without_a_step() -> None:
    assert Throughput().measured() == {}


def test_points_after_the_resumed_step_are_hidden(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventLog(tmp_path, [])
    log.add(RECORD)
    log.add({**RECORD, "step": 10, "loss": 9.0})
    log.close()
    again = EventLog(tmp_path, [RECORD])
    again.add({**RECORD, "step": 10, "loss": 0.25})
    again.close()
    found = EventAccumulator(str(tmp_path)).Reload()
    assert [(one.step, one.value) for one in found.Scalars("loss")] == [(5, 0.5), (10, 0.25)]
    assert "auc_subdural" not in found.Tags()["scalars"]
