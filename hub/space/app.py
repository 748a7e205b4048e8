"""The page of `ich serve` as a Space, over the bundle that its variable ICH_WEIGHTS names."""

import os
import sys

from ich_cli.main import main

host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
port = os.environ.get("GRADIO_SERVER_PORT", "7860")
sys.argv[1:] = ["serve", "--host", host, "--port", port]
main()
