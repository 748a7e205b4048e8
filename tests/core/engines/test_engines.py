"""What runs a network: which engine is taken, and that all of them give torch's answers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ich_cli.core.bundle import BundleConfig, Calibration, LoadedBundle, save_bundle, save_ensemble
from ich_cli.core.engines import (
    Choice,
    bf16_check,
    cache as engine_cache,
    choose,
    engine_facts,
    fast_bf16,
    load,
    selection,
    start_engine,
    unavailable_reason,
)
from ich_cli.core.engines.cache import cache_folder, fetch, keep
from ich_cli.core.engines.openvino_engine import scale
from ich_cli.core.engines.selection import enough_slices
from ich_cli.core.errors import IchError, UsageError
from ich_cli.core.model import build_model, to_input
from ich_cli.core.predict import Predictor
from ich_cli.core.preprocessing import PreprocessConfig

CPU = "cpu"
needs_openvino = pytest.mark.skipif(not find_spec("openvino"), reason="openvino is not installed")
needs_compiler = pytest.mark.skipif(
    bool(unavailable_reason("compile", CPU)), reason="no C++ compiler here"
)
MISSING = "not installed: pip install 'ich-cli[openvino]'"
TRAINING = {"real_ct": True, "data": "x"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ICH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "engines"


@pytest.fixture
def bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "fast_bf16", lambda device: "AMX")


@pytest.fixture
def fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "fast_bf16", lambda device: "")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    tried: list[Any] = []

    def refuse(*args: Any, **_: Any) -> None:
        tried.append(args)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield tried
    assert tried == []


def pixels(count: int, size: int = 64, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, channels, size, size), np.uint8)


def made(folder: Path, seed: int, name: str = "test_resnet", **config: Any) -> Path:
    torch.manual_seed(seed)
    args, spread = config.pop("model_args", {}), config.pop("weights", 0.3)
    prep = PreprocessConfig(**config)
    model = build_model(name, in_chans=prep.channels, **args)
    for parameter in model.get_classifier().parameters():  # type: ignore[operator]
        torch.nn.init.normal_(parameter, std=spread)
    save_bundle(folder, model, BundleConfig(name, TRAINING, prep, model_args=args))
    return folder


# which one


def test_few_slices_and_an_unknown_number_are_for_torch(tiny_bundle: Path) -> None:
    assert Predictor.load(tiny_bundle, device="cpu").engine.name == "torch"
    few = Predictor.load(tiny_bundle, device="cpu", slices=63)
    assert few.engine.name == "torch"
    assert not few.engine.bf16
    assert few.engine.why.startswith("a small job")


def test_a_small_job_does_not_ask_for_what_would_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "find_spec", lambda name: None)
    assert choose("auto", CPU, slices=63).why == "a small job; OpenVINO is used from 64 slices on"
    assert choose("auto", CPU, slices=64).why == f"openvino: {MISSING}"


def test_how_many_slices_are_enough_by_hand() -> None:
    million = torch.nn.Linear(1000, 1000, bias=False)  # 1e6 parameters
    small, large = (BundleConfig("x", TRAINING, PreprocessConfig(size=size)) for size in (256, 512))

    def enough(*configs: BundleConfig) -> int:
        models = (million,) * len(configs)
        return enough_slices(LoadedBundle(configs[0], models, configs, "", Path()))

    assert enough(small) == 1000
    assert enough(large) == 250  # four times the pixels
    assert enough(small, large) == 200
    assert enough(*[large] * 20) == 64


@pytest.mark.parametrize(
    ("here", "fast", "slices", "expected"),
    [
        (True, "AMX", 10**6, Choice("openvino", True, "the processor has AMX")),
        (True, "", 10**6, Choice("openvino", False, "installed")),
        (False, "AMX", 10**6, Choice("torch", False, f"openvino: {MISSING}")),
    ],
)  # fmt: skip
def test_auto_depends_on_processor_and_installed_packages(
    monkeypatch: pytest.MonkeyPatch, here: bool, fast: str, slices: int, expected: Choice
) -> None:
    monkeypatch.setattr(selection, "find_spec", lambda name: here or None)
    monkeypatch.setattr(selection, "fast_bf16", lambda device: fast)
    assert choose("auto", CPU, slices=slices) == expected


def test_an_unavailable_engine_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"openvino: not installed: pip install 'ich-cli\[openv"):
        Predictor.load("/no/such/bundle", device="cpu", engine="openvino")
    monkeypatch.setattr(selection.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="needs a C\\+\\+ compiler"):
        choose("compile", CPU)
    with pytest.raises(UsageError, match="on the CPU, not on cuda"):
        choose("openvino", "cuda")
    with pytest.raises(UsageError, match="unknown engine 'onnx'"):
        choose("onnx", CPU)


def test_a_gpu_has_torch_in_bfloat16() -> None:
    chosen = choose("auto", "cuda", slices=10**6)
    assert (chosen.name, chosen.bf16) == ("torch", True)


def test_a_processor_that_torch_cannot_ask_has_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert fast_bf16(CPU) == ""
    assert fast_bf16("mps") == ""


def test_facts_name_every_engine_and_the_rule(monkeypatch: pytest.MonkeyPatch, bf16: None) -> None:
    monkeypatch.setattr(selection, "find_spec", lambda name: None)
    found = engine_facts(CPU)
    assert found["bfloat16"] == "AMX"
    assert found["torch"] == "float32"
    assert found["openvino"] == MISSING
    assert found["auto"].startswith("torch, float32 (openvino: not installed")


# the same answers


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Members that differ in size, neighbours, windows' mean and head."""
    base = tmp_path_factory.mktemp("members")
    members = [
        made(base / "a", 1, size=64),
        made(base / "b", 2, size=96, context=1),
        made(base / "c", 3, "mobilenetv2_035", size=64, mean=(0.5,) * 3, std=(0.5,) * 3,
             model_args={"head": "patch"}),
    ]  # fmt: skip
    save_ensemble(base / "all", members, BundleConfig("ensemble", TRAINING))
    return base / "all"


def both(folder: Path, engine: str) -> tuple[NDArray[np.float32], NDArray[np.float32], Predictor]:
    torch_, other = (
        Predictor.load(folder, device="cpu", engine=name) for name in ("torch", engine)
    )
    inputs = [pixels(7, one.size, one.channels) for one in torch_.preprocess]
    return torch_.probabilities(*inputs), other.probabilities(*inputs), other


@pytest.fixture(scope="module")
def mild(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose logits are not steep."""
    return made(tmp_path_factory.mktemp("mild") / "mild", 1, size=64, weights=0.05)


@needs_openvino
def test_openvino_float32_agrees_for_an_ensemble(
    ensemble: Path, fp32: None, no_network: list[Any]
) -> None:
    expected, found, predictor = both(ensemble, "openvino")
    assert predictor.engine == Choice("openvino", False)
    assert np.ptp(expected) > 0.2  # not all alike
    np.testing.assert_allclose(found, expected, atol=1e-4)


@needs_openvino
@pytest.mark.skipif(not fast_bf16(CPU), reason="this processor does not multiply bfloat16")
def test_openvino_bfloat16_agrees(mild: Path) -> None:
    expected, found, predictor = both(mild, "openvino")
    assert predictor.engine.bf16
    assert "changes probabilities by at most 0.00" in predictor.engine.why
    assert not np.array_equal(found, expected)  # as requested, and used
    np.testing.assert_allclose(found, expected, atol=0.01)


@needs_openvino
@pytest.mark.parametrize("named", [True, False])
def test_a_bundle_that_bfloat16_would_change_uses_float32(
    tmp_path: Path, bf16: None, named: bool
) -> None:
    steep = made(tmp_path / "steep", 1, size=64, std=(0.01, 0.01, 0.01))
    loaded = Predictor.load(steep, device="cpu", engine="torch").bundle
    if not named:  # of weights without a name nothing is kept
        loaded = replace(loaded, member_configs=(replace(loaded.config, sha256=""),))
    for _ in range(2):  # tried, and remembered
        found = Predictor(loaded, CPU, engine=choose("openvino", CPU))
        assert not found.engine.bf16
        assert "bfloat16 could change this bundle's probabilities by" in found.engine.why


def test_largest_change_by_hand(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor.load(tiny_bundle, device="cpu", engine="torch")
    model, config = predictor.bundle.members[0]
    cold = replace(config, calibration=Calibration((1.0, 2.0, 1.0, 1.0, 1.0, 1.0), (0.0,) * 6))
    shift = np.array([[0.008, -0.08, 0.0, 0.0, 0.0, 0.0]])
    exact = predictor.slice_logits
    monkeypatch.setattr(bf16_check, "_autocast", lambda *_: lambda pixels: exact(pixels) + shift)
    # the larger change is 0.08 / temperature 2; a quarter of it is 0.01
    found = bf16_check.largest_change(Choice("compile", True), (model, cold))
    assert found == pytest.approx(0.01, abs=1e-5)


@needs_openvino
@pytest.mark.parametrize("name", ["bf16", "fp32"])
def test_with_openvino_a_prediction_does_not_depend_on_the_batch(
    tiny_bundle: Path, name: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(name)
    many = pixels(33)
    first = Predictor.load(tiny_bundle, device="cpu", engine="openvino")
    again = Predictor.load(tiny_bundle, device="cpu", engine="openvino", batch_size=3)
    whole = first.probabilities(many)
    assert np.array_equal(whole, again.probabilities(many))  # converted, and out of the cache
    assert np.array_equal(whole[5:6], first.probabilities(many[5:6]))
    assert np.array_equal(whole[::-1], first.probabilities(many[::-1]))
    assert first.probabilities(many[:0]).shape == (0, 6)


@needs_openvino
def test_a_second_stage_uses_the_engines_logits(tiny_bundle: Path, fp32: None) -> None:
    plain, other = (
        Predictor.load(tiny_bundle, device="cpu", engine=name) for name in ("torch", "openvino")
    )
    np.testing.assert_allclose(
        other.slice_logits(pixels(4)), plain.slice_logits(pixels(4)), atol=1e-4
    )


@needs_compiler
@pytest.mark.slow
def test_compiled_agrees_and_does_not_depend_on_neighbours(tiny_bundle: Path, fp32: None) -> None:
    expected, found, predictor = both(tiny_bundle, "compile")
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.array_equal(found[5:6], predictor.probabilities(pixels(7)[5:6]))


def test_a_batch_that_is_not_full_is_filled_up(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)  # the padding alone
    plain = Predictor.load(tiny_bundle, device="cpu", engine="torch")
    (model,), (config,) = plain.bundle.models, plain.bundle.member_configs
    engine = start_engine(Choice("compile"), model, config, CPU, 4)
    engine.batch_size = 4  # as on a GPU
    found = engine(pixels(7))
    assert found.shape == (7, 6)
    np.testing.assert_allclose(found, plain.slice_logits(pixels(7)), atol=1e-5)


def test_scale_in_numpy_is_that_of_torch_to_the_bit() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    config = PreprocessConfig(size=64, context=1, mean=mean, std=std)
    every = np.arange(256 * 9, dtype=np.uint8).reshape(256, 9, 1, 1)
    expected = to_input(torch.from_numpy(every), mean, std)
    assert np.array_equal(scale(every, config), expected.numpy())


def test_a_model_that_an_engine_cannot_run_is_refused_or_run_by_torch(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(choice: Choice, *rest: Any) -> Any:
        if choice.name == "torch":
            return start_engine(choice, *rest)
        raise IchError("OpenVINO cannot run test_resnet")

    monkeypatch.setattr(load, "start_engine", fail)
    monkeypatch.setattr(selection, "unavailable_reason", lambda name, device: "")
    with pytest.raises(IchError, match="cannot run"):
        Predictor.load(tiny_bundle, device="cpu", engine="openvino")
    auto = Predictor.load(tiny_bundle, device="cpu", slices=10**6)
    assert auto.engine.name == "torch"
    assert auto.engine.why == "openvino failed: OpenVINO cannot run test_resnet"


# what is kept


@needs_openvino
def test_a_converted_model_is_kept_for_its_owner_and_mended(
    tiny_bundle: Path, cache: Path, fp32: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Predictor.load(tiny_bundle, device="cpu", engine="openvino").probabilities(pixels(2))
    (kept,) = cache.iterdir()
    if os.name != "nt":
        assert kept.stat().st_mode & 0o777 == 0o600
        assert cache.stat().st_mode & 0o777 == 0o700
    good = kept.read_bytes()
    for bad in (good[:-1], b"", good[:200] + b"x" + good[201:], b"\x00" * 99):
        kept.write_bytes(bad)
        again = Predictor.load(tiny_bundle, device="cpu", engine="openvino")
        assert np.array_equal(again.probabilities(pixels(2)), whole)
        assert fetch(kept) is not None
    monkeypatch.setattr(
        "ich_cli.core.engines.openvino_convert.convert", lambda *_: pytest.fail("converted again")
    )
    Predictor.load(tiny_bundle, device="cpu", engine="openvino")


@needs_openvino
def test_nothing_beside_the_bundle_is_run(tmp_path: Path, cache: Path, fp32: None) -> None:
    mine, theirs = made(tmp_path / "mine", 1, size=64), made(tmp_path / "theirs", 2, size=64)
    before = Predictor.load(mine, device="cpu", engine="openvino").probabilities(pixels(2))
    Predictor.load(theirs, device="cpu", engine="openvino")
    names = sorted(cache.iterdir())
    assert len(names) == 2
    for name in names:  # a published folder brings a network of its own
        (mine / name.name).write_bytes(name.read_bytes())
    assert {one.name for one in mine.iterdir() if one.is_dir()} == set()
    after = Predictor.load(mine, device="cpu", engine="openvino").probabilities(pixels(2))
    assert np.array_equal(before, after)


@needs_openvino
def test_with_an_unwritable_cache_the_model_is_converted_again(
    tiny_bundle: Path, tmp_path: Path, fp32: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ICH_CACHE", str(tmp_path / "file"))
    assert Predictor.load(tiny_bundle, device="cpu", engine="openvino").engine.name == "openvino"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_what_others_could_have_written_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.openvino"
    keep(path, b"graph", b"weights")
    assert fetch(path) == (b"graph", b"weights")
    path.chmod(0o622)
    assert fetch(path) is None
    assert fetch(tmp_path / "missing") is None


def test_old_files_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_cache, "_MAX_FILES", 2)
    for number in range(4):
        keep(tmp_path / f"{number}.openvino", b"g", b"w")
        os.utime(tmp_path / f"{number}.openvino", (number, number))
    keep(tmp_path / "new.openvino", b"g", b"w")
    assert [one.name for one in sorted(tmp_path.iterdir())] == ["3.openvino", "new.openvino"]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ICH_CACHE")
    monkeypatch.setattr(engine_cache.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ich"
    monkeypatch.setattr(engine_cache.sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "ich"
