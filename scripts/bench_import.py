"""What `import netspec` costs beside `import torch`, each in fresh processes.

    python scripts/bench_import.py [--quick] [--json FILE]

The bare interpreter's own time is in each figure, and in the first column of the differences.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

from _timing import compare, interleave, introduce, options, ratio_table, table, write_json

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = {
    "bare": "pass",
    "netspec": "import netspec",
    "torch": "import torch",
    "both": "import torch, netspec",
    "ready": "import torch, netspec; netspec.build",
}
WORDS = {
    "bare": "python -c pass",
    "netspec": "import netspec",
    "torch": "import torch",
    "both": "import torch, netspec",
    "ready": "the same, and `netspec.build` is looked up (which loads the compiler)",
}
LAZY = "import sys, netspec; sys.exit('torch' in sys.modules)"


def main() -> None:
    given = options(__doc__)
    introduce("Import", "Wall time of `python -c …`, in turns; minima beside medians.")
    lazy = run(LAZY) == 0
    assert lazy, "`import netspec` alone does not import torch"
    timed = {name: partial(seconds_of, program) for name, program in PROGRAMS.items()}
    if not given.quick:
        interleave(timed, 1)  # files are read, bytecode is written
    times = interleave(timed, 1 if given.quick else 25)
    rows = [
        compare("import netspec / import torch", times["torch"], times["netspec"], "≤ 1.05"),
        compare("import torch, netspec / import torch", times["torch"], times["both"], "≤ 1.05"),
        compare("… and netspec.build / import torch", times["torch"], times["ready"]),
        compare("import netspec / bare Python", times["bare"], times["netspec"]),
    ]
    print(ratio_table(rows, "beside", "netspec"))
    bare = median(times["bare"])
    found = [
        {"program": WORDS[name], "ms": 1e3 * median(seconds), "least_ms": 1e3 * min(seconds)}
        for name, seconds in times.items()
    ]
    print()
    cells = [
        (WORDS[name], f"{1e3 * median(seconds):.1f}", f"{1e3 * min(seconds):.1f}",
         f"{1e3 * (median(seconds) - bare):.1f}")
        for name, seconds in times.items()
    ]  # fmt: skip
    print(table(("program", "median, ms", "least, ms", "median over bare Python, ms"), cells))
    print("\n`import netspec` alone does not import torch.")
    write_json(given.json, {"ratios": rows, "programs": found})


def run(program: str) -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def seconds_of(program: str) -> float:
    start = time.perf_counter()
    code = run(program)
    seconds = time.perf_counter() - start
    assert code == 0, f"`{program}` ends well"
    return seconds


if __name__ == "__main__":
    main()
