"""Aggregations compared per patient, and the rule learned from out-of-fold predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ich_cli.core.data import OutOfFoldTable, read_out_of_fold
from ich_cli.core.errors import DataError
from ich_cli.core.evaluate import compare_aggregations, count_verdicts, learn_rule
from ich_cli.core.evaluate.study_rules import aggregate_studies
from ich_cli.core.labels import LABELS
from ich_cli.core.study import FITTED_AGGREGATION
from ich_cli.main import app

# four patients of two slices; only `any` differs: A and B bleed
SLICES = {"A": (0.9, 0.1), "B": (0.5, 0.5), "C": (0.6, 0.0), "D": (0.2, 0.2)}


def small() -> OutOfFoldTable:
    who = np.repeat(list(SLICES), 2)
    p = np.zeros((8, 6))
    p[:, 0] = np.ravel(list(SLICES.values()))
    y = np.zeros((8, 6), bool)
    y[[0, 2], 0] = True  # one positive slice is enough
    return OutOfFoldTable(y, p, who)


def test_auroc_of_aggregations_by_hand() -> None:
    """Correctly ordered pairs of a patient with and one without hemorrhage, out of 4.

    Highest slice: A .9, B .5 against C .6, D .2: 3 of 4. Mean: .5, .5 against .3, .2: 4 of 4.
    """
    found = {
        one.aggregation: one for one in compare_aggregations(small(), ("max", "mean"), bootstrap=0)
    }

    assert found["max"].auroc["any"] == 0.75
    assert found["mean"].auroc["any"] == 1.0
    assert found["max"].auroc["subdural"] is None
    assert found["max"].intervals == {}


def test_a_patient_is_positive_if_one_slice_is() -> None:
    y, p = aggregate_studies(small(), "max")

    assert y[:, 0].tolist() == [True, True, False, False]
    assert p[:, 0].tolist() == [0.9, 0.5, 0.6, 0.2]


def many() -> OutOfFoldTable:
    """20 patients with and 20 without hemorrhage, one slice each: p = 0.50 … 0.69, 0.40 … 0.59."""
    p = np.zeros((40, 6))
    p[:20, 0] = np.arange(50, 70) / 100
    p[20:, 0] = np.arange(40, 60) / 100
    y = np.zeros((40, 6), bool)
    y[:20, 0] = True
    return OutOfFoldTable(y, p, np.arange(40))


def test_one_study_in_twenty_is_wrong_on_either_side() -> None:
    found = many()
    rule = learn_rule(found.labels, found.probabilities, found.patients, "max")
    assert rule is not None

    # 19 of 20 bleeding are not ruled out (all but p = 0.50); of the others only 0.59 is ruled in
    ruled = rule.calibrate(found.probabilities)[:, 0]
    assert ruled[0] < rule.rule_out <= ruled[1]
    assert ruled[38] < rule.rule_in <= ruled[39]
    called = count_verdicts(found, rule)
    assert called["negative"] == (1, 11)  # those without hemorrhage from 0.40 to 0.50
    assert called["positive"] == (11, 1)  # the bleeding ones from 0.59 on
    assert called["unsure"] == (8, 8)


def test_too_few_studies_give_no_rule() -> None:
    found = small()

    assert learn_rule(found.labels, found.probabilities, found.patients) is None


def write(path: Path, found: OutOfFoldTable) -> Path:
    names = ("patient", *(f"true_{label}" for label in LABELS), *LABELS)
    rows = zip(found.patients, found.labels, found.probabilities, strict=True)
    lines = [",".join(map(str, (who, *y.astype(int), *p))) for who, y, p in rows]
    path.write_text("\n".join([",".join(names), *lines]) + "\n")
    return path


def test_the_command_prints_the_table_and_the_rule(tmp_path: Path) -> None:
    path = write(tmp_path / "oof.csv", many())

    command = ["evaluate", "--out-of-fold", str(path), "--by", "study", "--bootstrap"]
    printed = CliRunner().invoke(app, [*command, "20"])
    values = CliRunner().invoke(app, [*command, "0", "--json"])

    assert printed.exit_code == 0
    assert "top3-mean" in printed.stdout
    counts = "positive 11 / 1, unsure 8 / 8, negative 1 / 11"
    assert counts in " ".join(printed.stdout.split())
    assert "Research use only" in printed.stdout
    read = json.loads(values.stdout)
    assert read["study_rule"]["aggregation"] == FITTED_AGGREGATION
    # pairs in the right order: 20*20 less pairs in the wrong order (45) less half of 10 ties
    assert read["aggregations"]["max"]["auroc"]["any"] == pytest.approx(0.875)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a CSV table"),
        ("patient,any\n1,0.5\n", "has no column true_any"),
    ],
)
def test_another_table_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "oof.csv"
    path.write_text(text)

    with pytest.raises(DataError, match=reason):
        read_out_of_fold(path)


def test_probabilities_must_be_probabilities(tmp_path: Path) -> None:
    found = many()
    found.probabilities[3, 2] = 1.5

    with pytest.raises(DataError, match=r"outside \[0, 1\]"):
        read_out_of_fold(write(tmp_path / "oof.csv", found))
    with pytest.raises(DataError, match="cannot be read"):
        read_out_of_fold(tmp_path / "none.csv")
