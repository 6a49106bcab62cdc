"""Units of this machine's processor that make networks faster."""

from __future__ import annotations

from pathlib import Path

UNITS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
"""The best first, as Linux names them."""
BF16_UNITS = ("amx_bf16", "avx512_bf16")
"""Those that multiply in bfloat16."""


def processor_units() -> tuple[str, ...]:
    """Which of UNITS the processor has, the best first; none where no file says so."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        flags = set()
    return tuple(unit for unit in UNITS if unit in flags)
