"""`netspec schema`: the language as a JSON Schema."""

from __future__ import annotations

import json
from argparse import Namespace

from netspec.commands.written import write_result
from netspec.view.json_schema import language_schema


def schema_command(options: Namespace) -> int:
    """Write the schema; gives the exit status."""
    text = json.dumps(language_schema(), indent=2, ensure_ascii=False)
    return write_result(f"{text}\n", options)
