from .bf16_depthwise import keep_slow_depthwise_in_float32 as keep_slow_depthwise_in_float32
from .device import device_name as device_name, devices as devices, resolve_device as resolve_device
from .initial_weights import compare_keys as compare_keys, load_initial as load_initial
from .inputs import to_input as to_input
from .networks import (
    MODEL_ARGS as MODEL_ARGS,
    build_model as build_model,
    resolve_architecture as resolve_architecture,
)
from .patch_head import PatchClassifier as PatchClassifier
from .sequence_model import (
    SequenceKind as SequenceKind,
    SequenceModel as SequenceModel,
    fit_sequence_model as fit_sequence_model,
    load_sequence as load_sequence,
    save_sequence as save_sequence,
)
from .weights import (
    PICKLE_SUFFIXES as PICKLE_SUFFIXES,
    check_safetensors as check_safetensors,
    read_shapes as read_shapes,
    read_weights as read_weights,
    write_weights as write_weights,
)
