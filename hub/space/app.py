"""The page as a Space, over the bundle that the Space's variable ICH_WEIGHTS names."""

import os

from gradio_app.app import build_demo, launch
from ich_cli import Predictor

demo = build_demo(Predictor.load())
launch(
    demo,
    host=os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0"),
    port=int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
)
demo.block_thread()
