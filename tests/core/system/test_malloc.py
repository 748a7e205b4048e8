"""Freed memory stays with the process, unless the user has configured malloc."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ich_cli.core.system import malloc as allocator


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_freed_memory_is_kept() -> None:
    code = """
import resource, numpy as np
from ich_cli.core.system import keep_freed_memory
keep_freed_memory()
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3): np.ones(1 << 20, np.uint8)
before = faults()
for _ in range(50): np.ones(1 << 20, np.uint8)
print(faults() - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(run.stdout) < 50 * 256 / 4  # 256 pages each, were they given back


@pytest.mark.parametrize("key", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_settings_of_the_user_are_kept(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    loaded: list[object] = []
    monkeypatch.setattr(allocator.ctypes, "CDLL", loaded.append)
    monkeypatch.setenv(key, "1")
    allocator.keep_freed_memory.__wrapped__()
    assert not loaded
