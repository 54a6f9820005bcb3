"""BORIS' own code, in a process of its own: it is GPL and is never imported into the process of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

PYTHON = os.environ.get("BORIS_PYTHON", sys.executable)
"""The interpreter that has the package boris-behav-obs."""

START = """
import importlib.util, json, logging, sys, types
spec = importlib.util.find_spec("boris")
if spec is None:
    sys.exit("boris-behav-obs is not installed")
package = types.ModuleType("boris")  # its __init__ opens the program itself
package.__path__ = list(spec.submodule_search_locations)
sys.modules["boris"] = package
for player in ("mpv", "mpv2"):  # need a library of the system, and play videos only
    sys.modules[f"boris.{player}"] = types.ModuleType(f"boris.{player}")
    sys.modules[f"boris.{player}"].sofile = "libmpv.so.2"
    setattr(package, player, sys.modules[f"boris.{player}"])
"""


def in_boris(code: str, *arguments: object) -> Any:
    """Run code that can import BORIS and prints JSON last. The test is skipped where BORIS cannot be imported."""
    line = [PYTHON, "-c", START + code, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False,
                          env=environment | {"QT_QPA_PLATFORM": "offscreen"})  # fmt: skip
    if done.returncode and ("not installed" in done.stderr or "ImportError" in done.stderr
                            or "ModuleNotFoundError" in done.stderr):  # fmt: skip
        pytest.skip(f"BORIS cannot be imported here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
