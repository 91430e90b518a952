"""What is typed after each command. Nothing here imports torch: `--help` is there at once."""

from __future__ import annotations

import argparse

_SPEC = "a path, a name in configs/model, or - for standard input"


def check_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "check",
        "Tell all that is wrong with specs. The exit status is 0 if nothing is, 1 if something is, "
        "2 if the command itself is wrong.",
    )
    parser.add_argument(
        "specs", nargs="+", metavar="SPEC", help=f"{_SPEC}; of a folder all specs below it"
    )
    parser.add_argument(
        "--dtype", metavar="NAME", help="also tell what would not run in this dtype, as bfloat16"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON list, for editors")
    form.add_argument("--sarif", action="store_true", help="SARIF 2.1.0, for code scanning")
    form.add_argument(
        "--fix", action="store_true",
        help="mend in the files what is certain, show that as a diff, and tell what is left",
    )  # fmt: skip
    form.add_argument(
        "--diff", action="store_true", help="the diff of --fix alone; no file changes"
    )
    parser.add_argument(
        "--no-cache", action="store_true", help="look at all again, and keep no answer on disk"
    )
    _add_changes(parser)
    return parser


def explain_parser() -> argparse.ArgumentParser:
    parser = _parser("explain", "The page of an error code; without one, all codes.")
    parser.add_argument("code", nargs="?", metavar="CODE", help="as in NS301, or 301")
    return parser


def show_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "show", "What each layer gives, holds, computes, and keeps for the backward pass."
    )
    parser.add_argument("spec", metavar="SPEC", help=_SPEC)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all of it as JSON")
    form.add_argument(
        "--program", action="store_true",
        help="the program that the spec is compiled to, a statement a line, in place of the table",
    )  # fmt: skip
    form.add_argument(
        "--html", metavar="FILE",
        help="a picture, as a page that needs nothing but itself; of a spec that is wrong, too",
    )  # fmt: skip
    form.add_argument(
        "--svg", metavar="FILE",
        help="a picture of the outermost levels (--depth, else 1) as an SVG file",
    )  # fmt: skip
    form.add_argument(
        "--watch", action="store_true",
        help="the page of --html on this machine alone, drawn anew while the spec's files change",
    )  # fmt: skip
    form.add_argument(
        "--mermaid", action="store_true",
        help="a picture of the outermost levels (--depth, else 1) as Mermaid text",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="overwrite FILE if it is there")
    parser.add_argument(
        "--open", action="store_true", help="show the page, or the SVG file, in the browser"
    )
    parser.add_argument(
        "--size", action="append", default=[], type=_size, metavar="NAME=SIZE",
        help="a free size of the inputs, as in N=64",
    )  # fmt: skip
    parser.add_argument(
        "--depth", type=_count, metavar="K",
        help="only the outermost K levels; what is below counts in the row above it",
    )  # fmt: skip
    _add_changes(parser)
    return parser


def diff_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "diff",
        "What differs between two specs as networks, from A as it stands to B with what is typed: "
        "layers, shapes, parameters, FLOPs, bytes, keys of checkpoints. The exit status is 0 if "
        "nothing differs, 1 if something does, 2 if a spec or the command is wrong.",
    )
    parser.add_argument("a", metavar="A", help=_SPEC)
    parser.add_argument("b", nargs="?", metavar="B", help="another one; without it A, changed")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all of it as JSON")
    form.add_argument("--html", metavar="FILE", help="both as one page, what differs in colour")
    parser.add_argument("--force", action="store_true", help="overwrite that FILE if it is there")
    parser.add_argument(
        "--checkpoint", metavar="IN",
        help="weights of A, or a run's folder: written anew with B's keys, as far as it has them",
    )  # fmt: skip
    parser.add_argument("--out", metavar="OUT", help="the file for them; none is overwritten")
    _add_changes(parser)
    return parser


def verify_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "verify",
        "Build each form of a spec, load one checkpoint into all, and compare outputs, gradients "
        "and state bit by bit. The exit status is 0 if all is equal.",
    )
    parser.add_argument("spec", metavar="SPEC", help=_SPEC)
    parser.add_argument("--json", action="store_true", help="the table as JSON")
    parser.add_argument("--seed", type=int, default=0, help="of parameters and inputs (default: 0)")
    _add_values(parser)
    parser.set_defaults(act="module")
    return parser


def export_parser() -> argparse.ArgumentParser:
    parser = _parser("export", "The model as Python source that needs torch alone.")
    parser.add_argument("spec", metavar="SPEC", help=_SPEC)
    _add_output(parser)
    _add_changes(parser)
    return parser


def list_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "list",
        "The specs that have a name, the plugins that are installed, and the layers of those that "
        "are enabled here.",
    )
    parser.add_argument(
        "filter", nargs="?", metavar="FILTER",
        help="a part of a name or of its words, or a pattern for names, as in 'resnet*'",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="all of it as JSON")
    add_plugins(parser)
    return parser


def schema_parser() -> argparse.ArgumentParser:
    parser = _parser("schema", "A JSON Schema of the language, for editors.")
    add_plugins(parser)
    _add_output(parser)
    return parser


def new_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "new",
        "Begin a spec: the file, with a line that names its JSON Schema for editors, and a test of "
        "it. Nothing is overwritten.",
    )
    parser.add_argument(
        "name", metavar="NAME",
        help="a name, which goes to configs/model where that is a folder, or a path to a .yaml",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="source", metavar="SPEC", help="another spec to begin with, as lenet"
    )
    return parser


def lsp_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "lsp", "A language server for editors, on the standard streams; needs `netspec[lsp]`."
    )
    parser.add_argument(
        "--act", default="module", choices=("module", "functional", "inplace"),
        help="the form of activations; with inplace it tells what is overwritten, and why not",
    )  # fmt: skip
    parser.add_argument(
        "--parameters", action="store_true", help="the number of parameters beside each layer, too"
    )
    add_plugins(parser)
    return parser


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"netspec {name}", description=description, allow_abbrev=False
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", dest="output", metavar="FILE", help="where to, in place of stdout")
    parser.add_argument("--force", action="store_true", help="overwrite FILE if it is there")


def _add_changes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--act", default="module", metavar="FORM",
        help="the form of activations: module (the default), functional or inplace",
    )  # fmt: skip
    _add_values(parser)


def add_plugins(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="NAME",
        help="a plugin whose layers specs may name: an installed one, or a module in this folder",
    )  # fmt: skip


def _add_values(parser: argparse.ArgumentParser) -> None:
    add_plugins(parser)
    parser.add_argument(
        "--fn", metavar="NAME", help="the function of all activations that don't pin theirs"
    )
    parser.add_argument(
        "--arg", action="append", default=[], type=_pair, metavar="NAME=VALUE",
        help="an arg of the spec; the value is YAML",
    )  # fmt: skip
    parser.add_argument(
        "--limit", action="append", default=[], type=_limit, metavar="NAME=NUMBER", dest="limits",
        help="what the spec may have or take at most, as elements=1e12",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], type=_change, metavar="PATH=VALUE", dest="changes",
        help="a change to the spec, as in layers.conv1.out_channels=12; ~PATH deletes",
    )  # fmt: skip


def _pair(text: str) -> str:
    name, equals, _ = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"`{text}` is not NAME=VALUE")
    return text


def _change(text: str) -> str:
    return text if text.startswith("~") and len(text) > 1 else _pair(text)


def _size(text: str) -> tuple[str, int]:
    name, _, size = _pair(text).partition("=")
    try:
        return name, int(size)
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{size}` is not a whole number") from None


def _limit(text: str) -> tuple[str, int]:
    name, _, number = _pair(text).partition("=")
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 1 <= value < 1e30 or value != int(value):
        raise argparse.ArgumentTypeError(f"`{number}` is not a whole number from 1")
    return name, int(value)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not a whole number from 1")
    return int(text)
