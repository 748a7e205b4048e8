from .base import (
    Choice as Choice,
    Engine as Engine,
    choose as choose,
    engine_facts as engine_facts,
    fast_bf16 as fast_bf16,
    lacking as lacking,
    or_torch as or_torch,
    start as start,
)
from .bf16_check import settle as settle
