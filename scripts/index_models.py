"""Write configs/model/index.json: how many parameters each spec has, for `netspec list`.

To be run when a spec there changes; a test tells.
"""

from __future__ import annotations

import json
from pathlib import Path

from netspec.commands.parameter_index import INDEX, count, digest_of

MODELS = Path(__file__).parents[1] / "configs" / "model"


def main() -> None:
    files = sorted([*MODELS.glob("*.yaml"), *MODELS.glob("zoo/*.yaml")], key=lambda file: file.stem)
    index = {
        "digest": digest_of(MODELS),
        "parameters": {file.stem: count(str(file)) for file in files},
    }
    (MODELS / INDEX).write_text(f"{json.dumps(index, indent=2)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
