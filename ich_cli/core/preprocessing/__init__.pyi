from .config import PreprocessConfig as PreprocessConfig
from .dlmi import DLMI_WINDOWS as DLMI_WINDOWS
from .orientation import orientation_of as orientation_of
from .pipeline import (
    Neighbours as Neighbours,
    prepare as prepare,
    prepare_each as prepare_each,
    prepare_mask as prepare_mask,
)
from .placement import Placement as Placement, Prepared as Prepared, uncrop as uncrop
