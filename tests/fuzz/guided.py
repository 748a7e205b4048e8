"""Coverage-guided fuzzing: ``python -m tests.fuzz.guided dicom corpus/ -runs=100000``.

Needs atheris (``pip install '.[fuzz]'``: Linux on x86-64). Arguments after the target are
libFuzzer's; ``-timeout=5 -rss_limit_mb=2048`` limits an input. Decoders run in child processes,
which are not instrumented.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["ich_cli", "pydicom", "zipfile"]):
    import ich_cli.core.bundle.config
    import ich_cli.core.series  # noqa: F401
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz one target; half of the inputs come from the structure-aware mutations."""
    name = sys.argv.pop(1)
    make, run = TARGETS[name]
    folder = Path(tempfile.mkdtemp())

    def one_input(data: bytes) -> None:
        run(data, folder)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < 0.5 or not data:
            return make(rng)[:most]
        return bytes(atheris.Mutate(data, most))

    atheris.Setup(sys.argv, one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
