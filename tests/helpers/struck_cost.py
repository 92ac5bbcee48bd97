"""A cost that paces workers and kills one of them: in a process of ``oncefit work`` alone.

Environment: STRUCK_FILE, whoever removes it at its third arch is killed; STRUCK_ALWAYS, everybody is at the first;
STRUCK_PACE_S, seconds that each arch takes.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cost_models.protocol import Target
from supernet.archs.arch import Arch


@dataclass
class Marked:
    name: str = "marked"
    calls: list[str] = field(default_factory=list)

    def __call__(self, arch: Arch) -> float:
        if "work" in sys.argv:
            self.calls.append(arch.id)
            time.sleep(float(os.environ.get("STRUCK_PACE_S", "0")))
            if "STRUCK_ALWAYS" in os.environ:
                os.kill(os.getpid(), signal.SIGKILL)
            if len(self.calls) >= 3 and (file := os.environ.get("STRUCK_FILE")) is not None:
                with suppress(FileNotFoundError):
                    Path(file).unlink()
                    os.kill(os.getpid(), signal.SIGKILL)
        return float(int(arch.id[:4], 16))


def marked(target: Target) -> Marked:
    return Marked()
