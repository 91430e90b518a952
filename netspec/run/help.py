"""`netspec train --help`: the groups with their options, and the keys with their comments."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from netspec.find import spec_names
from netspec.run.terminal import called

_HEAD = {
    "train": """\
Train and test a model: {called} [GROUP=OPTION …] [KEY=VALUE …]

  {called} model=lenet act=functional           one run, kept in outputs/
  {called} model=path/to/mine.yaml              a spec of your own
  {called} model.layers.conv1.out_channels=12   a change in it; ~model.layers.act4 deletes
  {called} -m act=module,functional seed=1,2    a sweep: checked first, a report at the end
  {called} resume=outputs/…                     go on with an interrupted run
  {called} model=resnet18 weights=FILE          start from weights (fine-tuning)
""",
    "eval": """\
Evaluate a model: {called} checkpoint=PATH [KEY=VALUE …]

  {called} checkpoint=outputs/…                  the best weights of a run on its test data
  {called} checkpoint=outputs/… act=functional   the same weights in another form
  {called} model=resnet18 weights=FILE data=…    weights of any origin
""",
}


def help_text(name: str, folders: Sequence[Path]) -> str:
    """The help of a command whose configuration is looked for in these folders, in their order."""
    parts = [_HEAD[name].format(called=called(name)), "Groups\n"]
    groups = _groups(folders)
    for group, options in groups.items():
        if name == "train" or group in ("act", "data"):
            parts.append(_listed(group, options))
    if name in ("train", "eval"):
        parts.append(_listed("model", [*spec_names(), "or a path"]))
    parts.append("\nKeys and their defaults\n")
    parts.append(_keys(_first(folders, f"{name}.yaml")))
    if name == "train":
        parts.append(f"trainer:\n{_keys(_first(folders, 'trainer/default.yaml'))}")
    parts.append(
        "\nOf Hydra: --cfg job shows what is composed, --hydra-help tells its own options\n"
    )
    return "\n".join(parts)


def _groups(folders: Sequence[Path]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for folder in folders:
        for file in sorted(folder.glob("*/*.yaml")):
            found.setdefault(file.parent.name, {})[file.stem] = None
    return {group: list(options) for group, options in sorted(found.items())}


def _listed(group: str, options: Sequence[str]) -> str:
    text = ", ".join(options)
    return textwrap.fill(text, 96, initial_indent=f"  {group:<12}", subsequent_indent=" " * 14)


def _first(folders: Sequence[Path], name: str) -> Path:
    return next(folder / name for folder in folders if (folder / name).is_file())


def _keys(file: Path) -> str:
    """The lines of a configuration that set keys, with their comments, without Hydra's own part."""
    lines = file.read_text(encoding="utf-8").splitlines()
    own = [line for line in lines if line and not line.startswith(("#", " ", "-"))]
    shown = [line for line in own if not line.startswith(("defaults:", "hydra:"))]
    return textwrap.indent("\n".join(shown), "  ")
