"""Start the engines of a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ich_cli.core.engines.base import Choice, Engine

if TYPE_CHECKING:
    from ich_cli.core.bundle import BundleConfig, LoadedBundle


def load_engines(
    choice: Choice, bundle: LoadedBundle, device: str, batch_size: int
) -> tuple[Choice, tuple[Engine, ...]]:
    """Start an engine for each model of a bundle.

    The models are moved to the device; gradient methods of `explain` use them there.

    Parameters
    ----------
    choice
        As `choose` returned it.
    bundle
        The models with their configs.
    device
        ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    batch_size
        Slices at once on a GPU.

    Returns
    -------
    choice
        With the precision that is used: float32 where bfloat16 would change the predictions.
    engines
        One per member, in order.

    Raises
    ------
    IchError
        If the engine cannot run a model.
    """
    from ich_cli.core.engines.bf16_check import validate_precision
    from ich_cli.core.engines.torch_engine import place_on_device

    for model in bundle.models:
        place_on_device(model, device)
    used = validate_precision(choice, bundle.members, device)
    engines = [start_engine(used, *member, device, batch_size) for member in bundle.members]
    return used, tuple(engines)


def start_engine(
    choice: Choice, model: Any, config: BundleConfig, device: str, batch_size: int
) -> Engine:
    """Start one network on an engine.

    Parameters
    ----------
    choice
        Engine and precision.
    model
        A torch module on `device`, in eval mode.
    config
        The config of its bundle.
    device, batch_size
        As for `load_engines`.

    Raises
    ------
    IchError
        If the engine cannot run this network.
    """
    if choice.name == "openvino":
        from ich_cli.core.engines.openvino_convert import convert, torch_threads
        from ich_cli.core.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(
            config, lambda: convert(model, config), bf16=choice.bf16, threads=torch_threads()
        )
    if choice.name == "compile":
        from ich_cli.core.engines.compiled_engine import CompiledEngine

        return CompiledEngine(model, config, device, batch_size, bf16=choice.bf16)
    from ich_cli.core.engines.torch_engine import TorchEngine

    return TorchEngine(model, config.preprocess, device, batch_size, bf16=choice.bf16)
