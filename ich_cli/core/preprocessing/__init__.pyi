from .config import DLMI_WINDOWS as DLMI_WINDOWS, PreprocessConfig as PreprocessConfig
from .neighbours import Around as Around
from .pipeline import (
    Placement as Placement,
    Prepared as Prepared,
    prepare as prepare,
    prepare_mask as prepare_mask,
    uncrop as uncrop,
)
