from .base import Choice as Choice, fall_back_to_torch as fall_back_to_torch
from .bf16_check import validate_precision as validate_precision
from .load import load_engines as load_engines, start_engine as start_engine
from .selection import (
    choose as choose,
    engine_facts as engine_facts,
    fast_bf16 as fast_bf16,
    unavailable_reason as unavailable_reason,
)
from .torch_engine import model_input as model_input
