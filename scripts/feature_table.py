"""Print docs/compatibility.md: `python scripts/feature_table.py > docs/compatibility.md`.

Tries everything on every built model and, where it fails, on the hand-written twin; minutes.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from tests import features
from tests.twins.registry import TWINS, Twin

HEAD = """\
# What torch can do with a built model

A built model is an ordinary `nn.Module`. Each network of `configs/model`, in each form of its
activations (`act=module`, `act=functional`), was put through what follows, and compared with the
hand-written model beside it (`tests/twins`) wherever something failed. `tests/test_features.py`
does the same in each test run and compares this table with what it finds;
`python scripts/feature_table.py > docs/compatibility.md` writes it anew.

| column | what is tried, in eval mode |
|---|---|
| deepcopy | `copy.deepcopy`: same classes, same outputs, no shared memory |
| compile | `torch.compile(model, fullgraph=True)`, backend `eager` |
| compile around | the same for a user's function that calls the model, as a training step does |
| export | `torch.export.export` |
| export, any N | the same with a dynamic batch dimension, run at another batch size |
| fx | `torch.fx.symbolic_trace` |
| jit.trace | `torch.jit.trace`, with its check |
| jit.script | `torch.jit.script` of the source that `netspec.to_python` writes |
| hooks | forward, pre-forward and backward hooks: order, values, changed outputs as in the twin |
| pickle | `pickle.dumps` here, `loads` in another process, the spec's file deleted |
| torch.save | `torch.save` of the whole model, `torch.load(weights_only=False)` likewise |
| pickle a part | a module from inside the model, likewise |
| pickle, there and back | pickled again in the other process: comes back with the classes it had |
| DDP | `DistributedDataParallel`, two spawned processes over gloo: the whole batch's gradients |

✓ works in both forms, ✗ in neither; else the form in which it works.
"""
MIDDLE = """
## Exceptions

Where a model cannot, its error in one line, beside what its hand-written twin says to the same.

| network | form | what | the model | its twin |
|---|---|---|---|---|
"""
TAIL = """
## Not in the table

- `torch.jit.script` needs Python source, and a built class has none: its file is the spec. Write
  the source with `netspec.to_python`, import it, and script that.
- `torch.compile` with its default backend (inductor) is tried on two networks, in the slow tests.
- `torch.load(weights_only=True)` refuses a whole model, built or written by hand. Save its
  `state_dict()`.
"""

Errors = Mapping[str, str | None]  # by the name of a subject


def main() -> None:
    torch.set_num_threads(1)
    subjects = [features.built(twin, form) for twin in TWINS for form in twin.forms]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {feature: try_each(feature, folder) for feature in features.FEATURES}
        found["hooks"] = try_hooks()
        found |= try_elsewhere(folder / "elsewhere")
        found["DDP"] = features.replicate(subjects, folder)
        print(HEAD)
        print(f"| network | {' | '.join(features.COLUMNS)} |")
        print(f"|---|{'---|' * len(features.COLUMNS)}")
        for twin in TWINS:
            cells = [
                features.mark({form: found[feature][f"{twin}-{form}"] for form in twin.forms})
                for feature in features.COLUMNS
            ]
            print(f"| {features.label(twin)} | {' | '.join(cells)} |")
        print(MIDDLE, end="")
        for twin in TWINS:
            for form in twin.forms:
                for feature in features.COLUMNS:
                    error = found[feature][f"{twin}-{form}"]
                    if error is not None:
                        theirs = try_twin(twin, feature, folder)
                        print(features.exception(twin, form, feature, error, theirs))
        print(TAIL, end="")


def try_each(feature: str, folder: Path) -> Errors:
    print(f"trying {feature}", file=sys.stderr)
    subjects = [features.built(twin, form) for twin in TWINS for form in twin.forms]
    return {subject.name: features.attempt(feature, subject, folder) for subject in subjects}


def try_hooks() -> Errors:
    found: dict[str, str | None] = {}
    for twin in TWINS:
        for form in twin.forms:
            try:
                features.hooks(features.built(twin, form), features.hand_written(twin))
                found[f"{twin}-{form}"] = None
            except Exception as error:
                found[f"{twin}-{form}"] = features.in_one_line(error)
    return found


def try_elsewhere(folder: Path) -> dict[str, Errors]:
    specs = shutil.copytree(features.SPECS, folder / "specs")
    subjects = [features.built(t, form, specs=specs) for t in TWINS for form in t.forms]
    found = features.elsewhere(subjects, folder, specs)
    return {
        feature: {name: errors[feature] for name, errors in found.items()}
        for feature in features.ELSEWHERE
    }


def try_twin(twin: Twin, feature: str, folder: Path) -> str | None:
    """The hand-written model's own error. That it can be pickled, its class being importable, is
    taken for granted, and hooks are compared with its own."""
    if feature in features.FEATURES:
        return features.attempt(feature, features.hand_written(twin), folder)
    if feature == "DDP":
        inner = Path(tempfile.mkdtemp(dir=folder))
        return features.replicate([features.hand_written(twin)], inner)[f"{twin}-twin"]
    return None


if __name__ == "__main__":
    main()
