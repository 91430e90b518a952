"""`netspec schema`: the language as a JSON Schema."""

from __future__ import annotations

import json
from argparse import Namespace

from netspec.commands.output_file import write_result
from netspec.errors import SpecError
from netspec.plugins import enabled
from netspec.reporting.terminal import print_error
from netspec.view.json_schema import language_schema


def schema_command(options: Namespace) -> int:
    """Write the schema; gives the exit status."""
    try:
        with enabled(options.plugin):
            text = json.dumps(language_schema(), indent=2, ensure_ascii=False)
    except SpecError as error:
        print_error(error)
        return 2
    return write_result(f"{text}\n", options)
