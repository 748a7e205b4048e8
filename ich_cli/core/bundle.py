"""A bundle: the folder that holds all that is needed to predict.

    config.json          what the model is, how its input is made, how its output is read
    model.safetensors    the weights, under timm's key names
    README.md            its card

Loading is strict: nothing is unpickled, nothing unknown is passed over, nothing is guessed.
"""

from ich_cli.core.bundle_config import FORMAT, BundleConfig, Calibration, default_thresholds
from ich_cli.core.bundle_files import read_config
from ich_cli.core.bundle_load import LoadedBundle, load_bundle
from ich_cli.core.bundle_save import save_bundle, save_ensemble

__all__ = [
    "FORMAT",
    "BundleConfig",
    "Calibration",
    "LoadedBundle",
    "default_thresholds",
    "load_bundle",
    "read_config",
    "save_bundle",
    "save_ensemble",
]
