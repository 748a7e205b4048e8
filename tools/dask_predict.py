"""The job of ``ich predict`` on a Dask cluster, ``ich_cli`` being the library.

python -m tools.dask_predict SCANS -o out.csv --workers 2
python -m tools.dask_predict SCANS -o out.csv --scheduler tcp://head-node:8786

A task is a series. A worker loads the model once; one that dies costs the series that it had in
hand, which Dask gives to another. The table is that of ``ich predict``. docs/scale.md says when to
use which.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from distributed import Client, LocalCluster, Worker, WorkerPlugin, get_worker

from ich_cli.core.errors import InputError
from ich_cli.core.predict import (
    SLICE_COLUMNS,
    Predictor,
    format_of,
    open_table,
    series_units,
    slice_row,
)
from ich_cli.core.series import Entry, scan
from ich_cli.core.study import SlicePrediction
from ich_cli.core.system import replacing

RETRIES = 3


class Loaded(WorkerPlugin):
    """Loads the predictor once a worker; each has one thread, so nobody shares it."""

    name = "predictor"
    predictor: Predictor

    def __init__(self, weights: str | None) -> None:
        self.weights = weights

    def setup(self, worker: Worker) -> None:
        """Load it, when the worker starts."""
        self.predictor = Predictor.load(self.weights)


def answer(entries: list[Entry]) -> list[SlicePrediction]:
    """Answer for one series, on a worker."""
    loaded = cast(Loaded, get_worker().plugins[Loaded.name])
    return list(loaded.predictor.stream(entries, workers=0))


def predict(client: Client, paths: list[Path], weights: str | None) -> Iterator[SlicePrediction]:
    """Yield the rows of `ich predict`, in its order.

    Parameters
    ----------
    client
        Of a cluster whose workers see the files under the same paths.
    paths
        Files, folders and zips.
    weights
        A bundle, as for `Predictor.load`.
    """
    client.register_plugin(Loaded(weights))
    entries = scan(paths).rows
    work = [[_without_patient(entries[place]) for place in unit] for unit in series_units(entries)]
    for future in client.map(answer, work, retries=RETRIES, pure=False):
        yield from future.result()
        future.release()  # type: ignore[no-untyped-call]


def _without_patient(entry: Entry) -> Entry:
    """Leave the patient's id here: it splits training data, and answers do without."""
    return entry if isinstance(entry, InputError) else replace(entry, patient="")


def main() -> None:
    """Predict on a cluster, one of this machine if no other is named."""
    parser = argparse.ArgumentParser(prog="python -m tools.dask_predict", description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("-w", "--weights")
    parser.add_argument("--workers", type=int, default=2, help="of a cluster on this machine")
    parser.add_argument("--scheduler", help="address of a cluster that runs")
    options = parser.parse_args()
    with _client(options.scheduler, options.workers) as client:
        rows = predict(client, options.paths, options.weights)
        layout = format_of(options.output)
        with (
            replacing(options.output) as stream,
            open_table(stream, layout, SLICE_COLUMNS) as table,
        ):
            for row in rows:
                table.append(slice_row(row))


def _client(scheduler: str | None, workers: int) -> Client:
    if scheduler:
        return Client(scheduler)  # type: ignore[no-untyped-call]
    cluster = LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    )
    return Client(cluster)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
