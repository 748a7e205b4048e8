"""Names of explanation methods, as figures and pages show them."""

from __future__ import annotations

from typing import Final

METHOD_NAMES: Final = {
    "patch": "Patch map",
    "gradcam": "Grad-CAM",
    "hirescam": "HiResCAM",
    "layercam": "Layer-CAM",
    "gradcam++": "Grad-CAM++",
    "xgradcam": "XGrad-CAM",
    "eigencam": "Eigen-CAM",
}
"""Method → name to show."""
