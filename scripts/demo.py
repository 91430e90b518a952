"""LeNet learns real digits and is evaluated: what `python3 scripts/dev.py demo` runs.

Arguments go on to train.py: `python3 scripts/dev.py demo act=functional trainer.max_epochs=5`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    folder = ROOT / "outputs" / f"demo-{datetime.now():%Y-%m-%d-%H-%M-%S}"
    trained = command("train.py", "model=lenet", *sys.argv[1:], f"folder={folder}")
    if trained:
        return trained
    for form in ("module", "functional"):
        evaluated = command(
            "eval.py", f"checkpoint={folder}", f"act={form}", f"out={folder}/{form}"
        )
        if evaluated:
            return evaluated
    return compare(folder)


def command(script: str, *arguments: str) -> int:
    """Run one of the two commands as a user would, and show it."""
    print(f"\n$ python {' '.join((script, *arguments))}", flush=True)
    return subprocess.run([sys.executable, script, *arguments], cwd=ROOT, check=False).returncode


def compare(folder: Path) -> int:
    """The figures of training and of both evaluations are the same, to the last digit."""
    told = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["test"]
    forms = {
        form: json.loads((folder / form / "evaluation.json").read_text(encoding="utf-8"))["metrics"]
        for form in ("module", "functional")
    }
    same = all(found == told for found in forms.values())
    print(f"\nmetrics.json and both evaluations agree: {'yes' if same else 'NO'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
