"""A network run by OpenVINO on the CPU.

The network is traced once and its graph kept (`engine_cache`). OpenVINO's own ``convert_model`` is
not called: it reports its use over the network, which nothing here does. Its frontend is.
"""

from __future__ import annotations

import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ich_cli._version import __version__
from ich_cli.core.bundle import BundleConfig
from ich_cli.core.engines.cache import fetch, keep, path_of
from ich_cli.core.errors import IchError


class OpenVinoEngine:
    """A network with a batch of one, several of which are on their way at once.

    Each slice is a request of its own, so its answer does not depend on the others; requests run
    side by side on as many streams as OpenVINO takes for the cores.

    Parameters
    ----------
    model
        On the CPU, in eval mode.
    config
        Its bundle's: what the converted model is kept under.
    bf16
        Multiply in bfloat16.

    Raises
    ------
    IchError
        If OpenVINO cannot run it.
    """

    def __init__(self, model: nn.Module, config: BundleConfig, *, bf16: bool) -> None:
        try:
            self._queue = self._start(model, config, bf16)
        except Exception as error:  # whatever tracing, the frontend or the compiler raise
            first = str(error).strip().partition("\n")[0]
            raise IchError(
                f"OpenVINO cannot run {config.architecture} ({type(error).__name__}: {first}); "
                "use --engine torch"
            ) from error
        self.step = 4 * len(self._queue)

    @staticmethod
    def _start(model: nn.Module, config: BundleConfig, bf16: bool) -> Any:
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        path = path_of(_facts(config)) if config.sha256 else None
        kept = fetch(path) if path else None
        if kept and path:
            try:
                read = core.read_model(model=kept[0], weights=kept[1])
                return openvino.AsyncInferQueue(core.compile_model(read, "CPU", settings))
            except RuntimeError:  # whole, but not to be read: made by another build
                path.unlink(missing_ok=True)
        graph, weights = convert(model, config)
        if path:
            keep(path, graph, weights)
        read = core.read_model(model=graph, weights=weights)
        return openvino.AsyncInferQueue(core.compile_model(read, "CPU", settings))

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return logits ``(N, 6)``."""
        slices = np.ascontiguousarray(inputs.numpy())
        logits: list[Any] = [None] * len(slices)

        def done(request: Any, index: int) -> None:
            logits[index] = request.get_output_tensor(0).data.copy()

        self._queue.set_callback(done)
        for index in range(len(slices)):
            self._queue.start_async({0: slices[index : index + 1]}, index)
        self._queue.wait_all()
        return torch.from_numpy(np.concatenate(logits))


def convert(model: nn.Module, config: BundleConfig) -> tuple[bytes, bytes]:
    """Return a network's graph and float32 weights, for a batch of one."""
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    prep = config.preprocess
    shape = [1, prep.channels, prep.size, prep.size]
    example = torch.zeros(shape)
    # torch wants torch.export in place of a trace, which takes twenty times as long here
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")
        trace = torch.jit.trace(model, example, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(trace, example_input=(example,))
    frontend = FrontEndManager().load_by_framework("pytorch")
    found = frontend.convert(frontend.load(decoder))
    found.reshape(shape)
    with tempfile.TemporaryDirectory(prefix="ich-openvino-") as folder:
        graph, weights = Path(folder, "model.xml"), Path(folder, "model.bin")
        openvino.serialize(found, str(graph), str(weights))
        return graph.read_bytes(), weights.read_bytes()


def _facts(config: BundleConfig) -> dict[str, Any]:
    """Return all that a converted model depends on. Mean and std are no part of it."""
    packages = ("torch", "timm", "openvino")
    return {
        "weights": config.sha256,
        "architecture": config.architecture,
        "settings": cast(Any, config.model_args),
        "input": [config.preprocess.channels, config.preprocess.size],
        "versions": [__version__, *map(version, packages)],
    }
