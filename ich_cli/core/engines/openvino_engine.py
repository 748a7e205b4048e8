"""Networks run by OpenVINO on the CPU; imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ich_cli._version import __version__
from ich_cli.core.bundle import BundleConfig
from ich_cli.core.engines.cache import fetch, keep, path_of
from ich_cli.core.errors import IchError
from ich_cli.core.labels import LABELS
from ich_cli.core.preprocessing import PreprocessConfig


class OpenVinoEngine:
    """A network with a batch of one and several requests in flight.

    Each slice is a request of its own, so its result does not depend on the others. Requests run
    in parallel on as many streams as OpenVINO takes for the cores.

    Parameters
    ----------
    config
        The config of its bundle; the converted model is cached by it.
    convert
        Returns the graph and the weights; called where the cache does not have them.
    bf16
        Multiply in bfloat16.
    threads
        CPU threads.

    Raises
    ------
    IchError
        If OpenVINO cannot run it.
    """

    def __init__(
        self,
        config: BundleConfig,
        convert: Callable[[], tuple[bytes, bytes]],
        *,
        bf16: bool,
        threads: int,
    ) -> None:
        self._preprocess = config.preprocess
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_NUM_THREADS": threads,
        }
        try:
            self._queue = _load(config, convert, settings)
        except Exception as error:  # whatever tracing, the frontend or the compiler raise
            first = str(error).strip().partition("\n")[0]
            raise IchError(
                f"OpenVINO cannot run {config.architecture} ({type(error).__name__}: {first}); "
                "use --engine torch"
            ) from error
        self.batch_size = 4 * len(self._queue)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return logits, float64 ``(N, 6)``, of uint8 pixels ``(N, C, S, S)``."""
        logits = np.empty((len(pixels), len(LABELS)))

        def store(request: Any, index: int) -> None:
            logits[index] = request.get_output_tensor(0).data

        self._queue.set_callback(store)
        for index in range(len(pixels)):
            inputs = scale(pixels[index : index + 1], self._preprocess)
            self._queue.start_async({0: inputs}, index)
        self._queue.wait_all()
        return logits


def scale(pixels: NDArray[np.uint8], preprocess: PreprocessConfig) -> NDArray[np.float32]:
    """Scale prepared pixels as `model.to_input` does, to the bit; float32, the same shape."""
    slices = pixels.shape[1] // len(preprocess.mean)
    mean, std = (
        np.tile(np.array(values, np.float32), slices).reshape(1, -1, 1, 1)
        for values in (preprocess.mean, preprocess.std)
    )
    scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(scaled)


def _load(
    config: BundleConfig, convert: Callable[[], tuple[bytes, bytes]], settings: dict[str, Any]
) -> Any:
    import openvino

    core = openvino.Core()
    path = path_of(_cache_key(config)) if config.sha256 else None
    cached = fetch(path) if path else None
    if cached and path:
        try:
            read = core.read_model(model=cached[0], weights=cached[1])
            return openvino.AsyncInferQueue(core.compile_model(read, "CPU", settings))
        except RuntimeError:  # intact, but written by another build of OpenVINO
            path.unlink(missing_ok=True)
    graph, weights = convert()
    if path:
        keep(path, graph, weights)
    read = core.read_model(model=graph, weights=weights)
    return openvino.AsyncInferQueue(core.compile_model(read, "CPU", settings))


def _cache_key(config: BundleConfig) -> dict[str, Any]:
    """Return all that a converted model depends on; mean and std are not part of the graph."""
    packages = ("torch", "timm", "openvino")
    return {
        "weights": config.sha256,
        "architecture": config.architecture,
        "settings": cast(Any, config.model_args),
        "input": [config.preprocess.channels, config.preprocess.size],
        "versions": [__version__, *map(version, packages)],
    }
