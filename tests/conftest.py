"""Shared fixtures. Tests need no network; real files are used if present."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ["ICH_ID_KEY"] = "a key of the tests, never of a user"

# The same examples in every run, without deadlines: a busy machine must not fail a test.
settings.register_profile("ich", derandomize=True, deadline=None, max_examples=60)
# Mutation testing needs one failure only: shrinking examples would take minutes.
settings.register_profile(
    "mutants", settings.get_profile("ich"), phases=(Phase.explicit, Phase.generate)
)
settings.load_profile("mutants" if "MUTANT_UNDER_TEST" in os.environ else "ich")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real files that are not part of the project; skip if it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real files are absent: ../shared/data is not part of the project")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small bundle with random weights, 64 pixels."""
    return _random_bundle(tmp_path_factory.mktemp("bundle") / "tiny", seed=0)


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of another random bundle, with other predictions."""
    return _random_bundle(tmp_path_factory.mktemp("bundle") / "other", seed=1)


def _random_bundle(folder: Path, seed: int) -> Path:
    import torch

    from ich_cli.core.bundle import BundleConfig, save_bundle
    from ich_cli.core.model import build_model
    from ich_cli.core.preprocessing import PreprocessConfig

    torch.manual_seed(seed)
    model = build_model("test_resnet")
    torch.nn.init.normal_(model.get_classifier().weight, std=0.5)  # type: ignore[operator]
    training = {"real_ct": False, "data": "nothing: random numbers"}
    config = BundleConfig("test_resnet", training, PreprocessConfig(size=64))
    save_bundle(folder, model, config)
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that sums have the same order on every machine."""
    import torch  # slow to import, and most tests do not need it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
