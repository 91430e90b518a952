"""`netspec new`: a spec to begin with, its schema line, and a test of it."""

from __future__ import annotations

import json
import os
import re
import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from netspec import find
from netspec.analysis.analyse import Analysis, analyse
from netspec.commands.check_specs import GIVEN_BY_DATA
from netspec.display import visible
from netspec.errors import SpecError, did_you_mean
from netspec.language.overrides import args_of
from netspec.reporting.terminal import print_error, tell
from netspec.view.json_schema import language_schema

SCHEMA = "netspec.schema.json"
_MODELS, _TESTS = Path("configs/model"), Path("tests")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

_FIRST = """\
netspec: 1
name: {name}
doc: What it is.
args: {{num_classes: 10}}
inputs: {{x: [N, 1, 28, 28]}}
layers:
  flat: {{call: flatten, start_dim: 1}}
  fc1:  {{module: Linear, out_features: 64}}
  act:  {{act: relu}}
  fc2:  {{module: Linear, out_features: =num_classes}}
"""
_TEST = '''\
"""{name}: the spec is right, gives what it should, and is the same network in each form."""

from pathlib import Path

import netspec

SPEC = Path(__file__).parent / {path}
ARGS = {args}


def test_nothing_is_wrong():
    assert not netspec.check(SPEC, args=ARGS)


def test_what_it_gives_and_holds():
    assert netspec.analyse(SPEC, args=ARGS).by_path[{layer}].output.text == {output}
    model = netspec.build(SPEC, args=ARGS, device="meta")
    assert sum(parameter.numel() for parameter in model.parameters()) == {parameters}


def test_all_forms_are_equal():
    assert netspec.verify(SPEC, args=ARGS).equal
'''


class _Refused(Exception):
    """Why nothing is written, in a line."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """The text of a new spec, and args that it has to be given."""

    text: str
    args: Mapping[str, object]


def new_command(options: Namespace) -> int:
    """Write the files and tell what to do with them; 2 where nothing was written."""
    try:
        spec = _path_of(options.name)
        begun = _begun(spec, options.source)
        found = analyse(begun.text, path=spec, args=begun.args)
        if found.diagnostics:
            tell(found.diagnostics, sys.stderr)
            raise _Refused(f"`{options.source}` can't be begun with: nothing was written")
        test = _test_of(spec)
        texts = {spec: begun.text, test: _test_text(spec, test, found, begun.args)}
        if not Path(SCHEMA).exists():
            schema = json.dumps(language_schema(), indent=2, ensure_ascii=False)
            texts[Path(SCHEMA)] = f"{schema}\n"
        _write_all(texts)
    except SpecError as error:
        print_error(error)
        return 2
    except _Refused as refused:
        sys.stderr.write(f"{visible(str(refused))}\n")
        return 2
    for path in texts:
        sys.stdout.write(f"wrote {visible(path.as_posix())}\n")
    name = visible(options.name)
    sys.stdout.write(
        f"look at it: netspec show {name}; test it: pytest {visible(test.as_posix())}\n"
    )
    return 0


def _path_of(name: str) -> Path:
    """Where a spec of this name goes. Raises _Refused."""
    path = Path(name)
    if path.suffix not in ("", ".yaml") or not _NAME.fullmatch(path.stem):
        raise _Refused(
            f"`{name}` can't be a spec's name: letters, digits, `_` and `-`, a letter first, "
            "or a path that ends in .yaml"
        )
    if path.suffix or path.parent != Path():
        return path.with_suffix(".yaml")
    path = (_MODELS if _MODELS.is_dir() else Path()) / f"{name}.yaml"
    if name in find.spec_names() and not path.exists():
        raise _Refused(f"`{name}` is the name of {find.path_of(name)}; take another one")
    return path


def _test_of(spec: Path) -> Path:
    folder = _TESTS if _TESTS.is_dir() else spec.parent
    return folder / f"test_{spec.stem.replace('-', '_')}.py"


def _begun(spec: Path, source: str | None) -> _Begun:
    """The text: of another spec, or a first one. Raises SpecError."""
    line = f"# yaml-language-server: $schema={_way(spec.parent, Path(SCHEMA))}\n"
    name = "".join(part[:1].upper() + part[1:] for part in re.split(r"[-_]", spec.stem))
    if source is None:
        return _Begun(line + _FIRST.format(name=name), {})
    if source not in find.spec_names() and not Path(source).is_file():
        near = did_you_mean(source, find.spec_names())
        raise _Refused(f"there is no spec `{source}`; {near or '`netspec list` tells the names'}")
    read = find.read(source)
    args = args_of(find.text_of(source))
    given = {n: value for n, value in GIVEN_BY_DATA.items() if n in args and args[n] is None}
    value = read.value
    if not isinstance(value, dict) or "include" in value:
        other = _way(spec.parent, Path(source)) if Path(source).is_file() else source
        return _Begun(line + _variant(name, other, args), given)
    text = re.sub(r"\A(#[^\n]*\n)*# yaml-language-server:[^\n]*\n", "", read.text)
    renamed = re.sub(r"(?m)^name:[^\n#]*", f"name: {name}", text, count=1)
    return _Begun(line + renamed, given)


def _variant(name: str, source: str, args: Mapping[str, object]) -> str:
    """A spec that is another one, whose files stay where they are, with its args to be changed."""
    told = {key: value for key, value in args.items() if value is not None}
    left = [key for key in args if key not in told]
    if left:
        raise _Refused(f"`{source}` includes files, and its {', '.join(left)} have to be given")
    lines = [f"netspec: 1\nname: {name}\nspec: {json.dumps(source)}"]
    if told:
        lines += ["args:", *(f"  {key}: {json.dumps(value)}" for key, value in told.items())]
    return "\n".join(lines) + "\n"


def _test_text(spec: Path, test: Path, found: Analysis, args: Mapping[str, object]) -> str:
    last = [node for node in found.children[""] if node.output is not None][-1]
    costs = found.costs()
    assert last.output is not None and costs is not None, "it is right"
    return _TEST.format(
        name=spec.stem,
        path=json.dumps(_way(test.parent, spec)),
        args=repr(dict(args)),
        layer=json.dumps(last.path),
        output=json.dumps(last.output.text, ensure_ascii=False),
        parameters=f"{costs.parameters:_}",
    )


def _way(start: Path, to: Path) -> str:
    return Path(os.path.relpath(to, start)).as_posix()


def _write_all(texts: Mapping[Path, str]) -> None:
    """All files, or none: one that is there is never overwritten. Raises _Refused."""
    written: list[Path] = []
    try:
        for path, text in texts.items():
            with path.open("x", encoding="utf-8", newline="\n") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise _Refused(f"`{error.filename}` is there already; nothing was written") from None
        reason = (error.strerror or str(error)).lower()
        raise _Refused(f"`{error.filename}` can't be written: {reason}") from None
