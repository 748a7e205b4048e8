import numpy as np
import pytest

from ich_cli.core.study import sigmoid
from ich_cli.core.study.logistic import logit


def test_sigmoid_and_logit_have_known_values() -> None:
    x = np.array([-800.0, 0.0, np.log(3), 800.0])
    assert sigmoid(x).tolist() == pytest.approx([0, 0.5, 0.75, 1])
    assert logit(np.array([0.25, 0.5, 0.75])).tolist() == pytest.approx([-np.log(3), 0, np.log(3)])
