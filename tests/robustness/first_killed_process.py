"""Kill one process of a run, the first time.

``python -m tests.robustness.first_killed_process RANK …``.

The other processes, and that one after torchrun has started it again, live.
"""

from __future__ import annotations

import os
import sys

from tests.robustness import killed_process as victim


def main() -> None:
    rank = sys.argv.pop(1)
    if (os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]) != (rank, "0"):
        sys.argv[1] = "never"
    victim.main()


if __name__ == "__main__":
    main()
