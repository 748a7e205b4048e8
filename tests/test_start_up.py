"""Imports at start-up: a prediction loads torch and little else, the help not even torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.dicom import ct, save, tissue

NOT_FOR_PREDICT = [
    "gradio",
    "accelerate",
    "matplotlib",
    "sklearn",
    "scipy",
    "pandas",
    "pyarrow",
    "highdicom",
    "pytorch_grad_cam",
    "tensorboard",
    "jinja2",
    "markdown_it",
    "contourpy",
    "openvino",
    "sympy",
    "triton",
    "torch._dynamo",
    "torch._inductor",
]
_TELL = "import atexit, sys; atexit.register(lambda: print('LOADED', *sys.modules)); "
_MAIN = _TELL + "from ich_cli.main import main; main()"


def loaded(*arguments: str | Path) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _MAIN, *map(str, arguments)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_predict_loads_only_what_it_needs(tiny_bundle: Path, tmp_path: Path) -> None:
    save(tmp_path / "one.dcm", ct(tissue(side=64)))
    found = loaded("predict", tmp_path / "one.dcm", "-w", tiny_bundle, "--json")
    assert {"torch", "timm", "pydicom"} <= found
    assert sorted(found & set(NOT_FOR_PREDICT)) == []


def test_the_help_loads_neither_torch_nor_numpy() -> None:
    found = loaded("--help")
    assert "typer" in found
    assert (
        sorted(found & {"torch", "numpy", "pydicom", "cv2", *NOT_FOR_PREDICT} - {"markdown_it"})
        == []
    )  # rich has that


_PARTS = """
import json, sys
from ich_cli.core.model.fast_timm import timm
without = "torch._dynamo" in sys.modules
import torch, torchvision
boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
pooled = torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), [boxes], 2)
double = torch.compile(lambda x: 2 * x, backend="eager")(torch.ones(1))
from timm.models.naflexvit import NaFlexRopeIterator
print(json.dumps([without, pooled.tolist(), double.tolist(), "torch._dynamo" in sys.modules,
                  type(sys.modules["torch._dynamo"]).__name__]))
"""


def test_skipped_modules_load_on_first_use() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PARTS], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [False, [[[[1.0, 1.0], [1.0, 1.0]]]], [2.0], True, "module"]


def test_other_attributes_come_from_the_real_compiler() -> None:
    code = (
        "import sys; from ich_cli.core.model import fast_timm as l\n"
        "with l.without_compiler():\n"
        "    import torch._dynamo as d\n"
        "    assert type(d).__name__ == '_Placeholder'\n"
        "    reset = d.reset\n"
        "import torch._dynamo as real\n"
        "assert reset is real.reset and type(real).__name__ == 'module'\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


@pytest.mark.parametrize("arguments", [("--version",), ("predict", "--help")])
def test_version_and_help_load_no_torch(arguments: tuple[str, ...]) -> None:
    assert "torch" not in loaded(*arguments)
