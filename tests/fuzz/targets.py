"""Fuzz targets: each takes bytes and must end with a result or an IchError."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from ich_cli.core.bundle import CONFIG, WEIGHTS, read_config
from ich_cli.core.data import read_labels
from ich_cli.core.errors import IchError, InputError
from ich_cli.core.model import read_shapes, read_weights
from ich_cli.core.series import load, scan
from tests.fuzz import mutations, seeds


@cache
def _dicom() -> list[bytes]:
    return seeds.dicom()


def _slice(rng: Random) -> bytes:
    """Return a seed file, more often one of our slices than one of pydicom's odd files."""
    return rng.choice(_dicom()[: seeds.OWN] if rng.random() < 0.75 else _dicom())


@cache
def _zips() -> list[bytes]:
    return seeds.zips(_dicom())


def read_dicom(data: bytes, folder: Path) -> str:
    """Scan and decode all frames; return the name of the last error, or ``slice``."""
    path = folder / "x.dcm"
    path.write_bytes(data)
    found = scan([path])
    outcome = "slice"
    for ref in (one for series in found.series for one in series.slices):
        try:
            load(ref)
        except InputError as error:
            outcome = type(error).__name__
    for refused in found.all_refused():
        outcome = type(refused.error).__name__
    return outcome


def read_config_file(data: bytes, folder: Path) -> str:
    """Read a config.json."""
    (folder / CONFIG).write_bytes(data)
    return _outcome(lambda: read_config(folder))


def read_weights_file(data: bytes, folder: Path) -> str:
    """Read the header of weights, then the weights."""
    path = folder / WEIGHTS
    path.write_bytes(data)
    return _outcome(lambda: (read_shapes(path), read_weights(path)))


def read_table(data: bytes, folder: Path) -> str:
    """Read a label table."""
    path = folder / "labels.csv"
    path.write_bytes(data)
    return _outcome(lambda: read_labels(path))


_LENGTH = 4


def read_bundle(data: bytes, folder: Path) -> str:
    """Load a bundle from its bytes: length of the config, config, weights."""
    from ich_cli.core.bundle import load_bundle

    end = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    (folder / CONFIG).write_bytes(data[_LENGTH:end])
    (folder / WEIGHTS).write_bytes(data[end:])
    return _outcome(lambda: load_bundle(folder))


def _outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except IchError as error:
        return type(error).__name__
    return "read"


def _bundle_input(rng: Random) -> bytes:
    """Return a changed bundle with a correct checksum, so that the checks after it are reached."""
    config, weights = _tiny()
    weights = mutations.safetensors(weights, rng) if rng.random() < 0.5 else weights
    values = json.loads(config)
    for _ in range(rng.choice((0, 1, 1, 2))):
        values = mutations.json_value(values, rng)
    if isinstance(values.get("ich"), dict) and "sha256" in values["ich"]:
        values["ich"]["sha256"] = hashlib.sha256(weights).hexdigest()
    written = json.dumps(values).encode()
    return len(written).to_bytes(_LENGTH, "big") + written + weights


@cache
def _tiny() -> tuple[bytes, bytes]:
    import tempfile

    import torch

    from ich_cli.core.bundle import BundleConfig, save_bundle
    from ich_cli.core.model import build_model
    from ich_cli.core.preprocessing import PreprocessConfig

    torch.manual_seed(0)
    training = {"real_ct": False, "data": "nothing: random numbers"}
    config = BundleConfig("test_resnet", training, PreprocessConfig(size=64))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "tiny"
        save_bundle(folder, build_model("test_resnet"), config)
        return (folder / CONFIG).read_bytes(), (folder / WEIGHTS).read_bytes()


def _zip_input(rng: Random) -> bytes:
    if rng.random() < 0.5:
        return mutations.bytes_at_random(rng.choice(_zips()), rng)
    members = [mutations.dicom(_slice(rng), rng, _dicom()[: seeds.OWN]) for _ in range(2)]
    return seeds.zipped(members, rng.choice(seeds.METHODS))


def _config_input(rng: Random) -> bytes:
    text = (Path(__file__).parents[2] / "hub" / "default" / CONFIG).read_text("utf-8")
    return mutations.json_text(json.loads(text), rng)


TARGETS: dict[str, tuple[Callable[[Random], bytes], Callable[[bytes, Path], str]]] = {
    "dicom": (lambda rng: mutations.dicom(_slice(rng), rng, _dicom()[: seeds.OWN]), read_dicom),
    "zip": (_zip_input, read_dicom),
    "config": (_config_input, read_config_file),
    "weights": (
        lambda rng: mutations.safetensors(rng.choice(seeds.safetensors()), rng),
        read_weights_file,
    ),
    "labels": (
        lambda rng: mutations.bytes_at_random(rng.choice(seeds.tables()), rng),
        read_table,
    ),
    "bundle": (_bundle_input, read_bundle),
}
"""Name → function that makes an input, and function that reads it."""

SHARES = {"dicom": 60, "zip": 10, "config": 10, "weights": 10, "labels": 8, "bundle": 2}
"""Name → percentage of the inputs."""


def make(seed: int, index: int) -> tuple[str, bytes]:
    """Return the target and the bytes of input `index` of `seed`, always the same."""
    rng = Random(f"{seed}:{index}")
    name = rng.choices(list(SHARES), list(SHARES.values()))[0]
    return name, TARGETS[name][0](rng)
