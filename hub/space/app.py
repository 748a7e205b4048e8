"""Run `ich serve` as a Space with the bundle named in its variable ICH_WEIGHTS."""

import os
import sys

from ich_cli.main import main

host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
port = os.environ.get("GRADIO_SERVER_PORT", "7860")
sys.argv[1:] = ["serve", "--host", host, "--port", port]
main()
