"""Names of explanation methods for figures and pages."""

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
"""Explanation method → name shown to the user."""
