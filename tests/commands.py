"""The command line in a process of its own, as a user runs it."""

import json
import subprocess
import sys
from typing import Any


def superpod(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "superpod", *words], capture_output=True, text=True, check=False, encoding="utf-8"
    )


def report(*words: str) -> dict[str, Any]:
    done = superpod(*words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["report"]
    return found
