from .card import (
    figures as figures,
    minimal_card as minimal_card,
    model_input as model_input,
    thresholds as thresholds,
)
from .config import (
    BundleConfig as BundleConfig,
    Calibration as Calibration,
    SequenceConfig as SequenceConfig,
    calibrate as calibrate,
    default_thresholds as default_thresholds,
)
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
    patiently as patiently,
    status_of as status_of,
    telling as telling,
)
from .load import LoadedBundle as LoadedBundle, load_bundle as load_bundle
from .resolve import (
    HubId as HubId,
    fetch as fetch,
    is_hub_id as is_hub_id,
    is_pinned as is_pinned,
    pin as pin,
    resolve_weights as resolve_weights,
    shipped as shipped,
)
from .save import save_bundle as save_bundle, save_ensemble as save_ensemble
