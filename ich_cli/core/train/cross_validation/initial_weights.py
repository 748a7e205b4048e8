"""Training data of the weights that a run starts from, and of the bundles that it writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ich_cli.core.bundle import (
    CONFIG,
    WEIGHTS,
    BundleConfig,
    LearnedFrom,
    is_hub_id,
    read_config,
    resolve_weights,
)
from ich_cli.core.data import PreparedDataset, public_data_set, public_source
from ich_cli.core.errors import BundleError, DataError, UsageError
from ich_cli.core.evaluate import find_seen
from ich_cli.core.system import sha256_of
from ich_cli.core.train.cross_validation.plan import Plan
from ich_cli.core.train.dataset import Selection


def initial_weights(plan: Plan, part: str) -> str:
    """Return the initial weights of a part of the run; of an earlier run, the same part.

    Raises
    ------
    UsageError
        If that run had other folds, so that a fold would start from its validation patients.
    """
    earlier = Path(plan.config.init)
    about = earlier / "run.json"
    if not about.is_file():
        return plan.config.init
    before = json.loads(about.read_text(encoding="utf-8"))
    if before.get("split") != plan.split():
        raise UsageError(
            f"--init {earlier}: a run with other folds (data, --folds or --seed); its models "
            "have seen patients that these folds are evaluated on"
        )
    return str(earlier / part)


def check_initial_weights(
    plan: Plan, fold: int, note: Callable[[str], None] = lambda text: None
) -> str:
    """Check that a fold does not start from weights that were trained on its validation slices.

    Parameters
    ----------
    plan
        Settings of the run.
    fold
        Number of the fold.
    note
        Called with a warning where an overlap is allowed or cannot be excluded.

    Returns
    -------
    str
        The initial weights of the fold.

    Raises
    ------
    UsageError
        As for `initial_weights`.
    DataError
        If the weights were trained on slices or patients of the fold, and the plan does not allow
        it.
    """
    init = initial_weights(plan, f"fold-{fold}/bundle")
    config = _read_bundle(init)
    if config is None:
        return init
    rows = np.flatnonzero(plan.fold_of() == fold)
    same_folds = init != plan.config.init  # a part of a run, which never saw this fold
    seen = find_seen((config,), plan.data[0], whole_sets=not same_folds).take(rows)
    text = f"--init {init}: trained on {seen.counts()} in validation fold {fold}"
    if not seen.of_patients.any():
        if not seen.known and not same_folds:
            note(
                f"it is not known which slices --init {init} was trained on: metrics are "
                f"optimistic if slices of {seen.data} are among them"
            )
    elif plan.allow_overlap:
        note(f"{text}: the metrics are optimistic")
    else:
        raise DataError(f"{text}; start from other weights, or add --allow-overlap")
    return init


def record(train: Sequence[Selection], init: str) -> LearnedFrom:
    """Return the training data of weights that started from `init` and learned from `train`."""
    found = LearnedFrom()
    for one in train:
        found = found.union(_of_data_set(one))
    config = _read_bundle(init)
    if config is not None:
        return found.union(config.learned_from)
    return found if init in ("none", "imagenet") else found.union(None)


def _of_data_set(selection: Selection) -> LearnedFrom:
    data, rows = selection.data, [selection.data.rows[row] for row in selection.rows]
    public = {row.pseudonym for row in rows if public_data_set(row.pseudonym)}
    others = {row.patient for row in rows if row.pseudonym not in public}
    return LearnedFrom.from_hashes(
        (row.hu_hash for row in rows),
        sets=_sets(data, public),
        patients=tuple(sorted(public)),
        other_patients=len(others) if data.real_ct else 0,
        complete=any(row.hu_hash for row in rows),
    )


def _sets(data: PreparedDataset, pseudonyms: set[str]) -> tuple[str, ...]:
    source = data.about["source"]
    own = {public_source(source["kind"])}
    if source["kind"] == "phantom":
        own.add("phantoms")
    return tuple(sorted((own | {public_data_set(one) for one in pseudonyms}) - {""}))


def _read_bundle(init: str) -> BundleConfig | None:
    """Return the config of a bundle, or of the bundle that a file of weights is in."""
    path = Path(init).expanduser()
    if path.is_file():
        try:
            config = read_config(path.parent)
        except BundleError:
            return None
        return config if config.sha256 == sha256_of(path) else None
    if (path / CONFIG).is_file() and (path / WEIGHTS).is_file():
        return read_config(path)
    return read_config(resolve_weights(init)) if not path.exists() and is_hub_id(init) else None
