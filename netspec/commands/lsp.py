"""`netspec lsp`: the language server, on the standard streams."""

from __future__ import annotations

import sys
from argparse import Namespace
from importlib.util import find_spec

from netspec.errors import SpecError
from netspec.plugins import load
from netspec.reporting.terminal import print_error

_MISSING = "the language server needs pygls: pip install 'netspec[lsp]'\n"


def lsp_command(options: Namespace) -> int:
    """Answer an editor until it ends; gives the exit status."""
    if find_spec("pygls") is None:
        sys.stderr.write(_MISSING)
        return 2
    try:
        load(options.plugin)
    except SpecError as error:
        print_error(error)
        return 2
    from netspec.lsp.server import serve
    from netspec.lsp.workspace import Settings

    serve(Settings(options.act, tuple(options.plugin), options.parameters))
    return 0
