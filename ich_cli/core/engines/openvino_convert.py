"""Convert a torch network to an OpenVINO graph.

OpenVINO's own ``convert_model`` is not called because it reports its use over the network; its
frontend is.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

from ich_cli.core.bundle import BundleConfig


def convert(model: nn.Module, config: BundleConfig) -> tuple[bytes, bytes]:
    """Return a network's graph (XML) and float32 weights, for a batch of one."""
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    prep = config.preprocess
    shape = [1, prep.channels, prep.size, prep.size]
    example = torch.zeros(shape)
    # torch recommends torch.export in place of a trace; it takes twenty times as long here
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")
        trace = torch.jit.trace(model, example, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(trace, example_input=(example,))
    frontend = FrontEndManager().load_by_framework("pytorch")
    converted = frontend.convert(frontend.load(decoder))
    converted.reshape(shape)
    with tempfile.TemporaryDirectory(prefix="ich-openvino-") as folder:
        graph, weights = Path(folder, "model.xml"), Path(folder, "model.bin")
        openvino.serialize(converted, str(graph), str(weights))
        return graph.read_bytes(), weights.read_bytes()


def torch_threads() -> int:
    """Return the number of CPU threads that torch uses, which OpenVINO is given as well."""
    return torch.get_num_threads()
