"""Summarize `mutmut run`: killed mutants of each module; fails below 85 %.

python -m tools.mutants
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

LEAST: Final = 0.85
_ALIVE: Final = (0, 33, None)  # survived, reached by no test, not yet tried


def main() -> None:
    """Print a line for each module, then the names of the survivors."""
    worst = 1.0
    alive: list[str] = []
    for path in sorted(Path("mutants").rglob("*.py.meta")):
        codes: dict[str, int | None] = json.loads(path.read_text())["exit_code_by_key"]
        if not codes:
            continue
        lives = [name for name, code in codes.items() if code in _ALIVE]
        share = 1 - len(lives) / len(codes)
        name = str(path.relative_to("mutants")).removesuffix(".meta")
        print(f"{name}: {len(codes) - len(lives)} of {len(codes)} killed, {share:.1%}")
        worst = min(worst, share)
        alive += lives
    print("\nmutmut show NAME:", *alive, sep="\n  ")
    if worst < LEAST:
        raise SystemExit(f"fewer than {LEAST:.0%} killed in a module")


if __name__ == "__main__":
    main()
