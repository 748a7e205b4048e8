from .card import (
    input_text as input_text,
    metrics_text as metrics_text,
    minimal_card as minimal_card,
    thresholds_text as thresholds_text,
)
from .config import (
    BundleConfig as BundleConfig,
    Calibration as Calibration,
    SequenceConfig as SequenceConfig,
    default_thresholds as default_thresholds,
)
from .download import fetch as fetch, pin as pin
from .files import (
    CARD as CARD,
    CONFIG as CONFIG,
    SEQUENCE as SEQUENCE,
    WEIGHTS as WEIGHTS,
    config_text as config_text,
    read_config as read_config,
    read_config_values as read_config_values,
)
from .hub_errors import (
    CONFLICT as CONFLICT,
    retrying as retrying,
    status_of as status_of,
    translate_hub_errors as translate_hub_errors,
)
from .hub_id import HubId as HubId, is_hub_id as is_hub_id, is_pinned as is_pinned
from .learned_from import LearnedFrom as LearnedFrom, to_numbers as to_numbers
from .load import LoadedBundle as LoadedBundle, load_bundle as load_bundle
from .resolve import resolve_weights as resolve_weights, shipped_path as shipped_path
from .save import save_bundle as save_bundle, save_ensemble as save_ensemble
