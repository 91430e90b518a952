"""Specs with what comes out of them, compared text by text.

- `cases/ok/NAME.yaml` has the Python source of both forms in `NAME.py.txt` (the functional one only
  where it differs), and the program that it is compiled to in `NAME.program.txt`. Each is built and
  run, and its source too, at two sizes and in both modes.
- `cases/errors/NS203_NAME.yaml` has in `NS203_NAME.txt` what the user sees.

A line `# with {"args": {"n": 3}}` in a case says how it is built or checked. Lines
`# mended: old → new` at the end of a case of an error make it the nearest spec that is right, and
which has to build: each puts a new text in the place of an old one, one after the other (`\\n` ends
a line, `\\t` is a tab, `&quot;` a quote).
`python -m tests.test_cases --update` writes the texts anew; look at what changed before a commit.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import netspec
from netspec.ir.printer import program_text
from netspec.pipeline import compile_spec
from tests.compare import compare_state, compare_values

CASES = Path(__file__).parent / "cases"
OK = sorted((CASES / "ok").glob("*.yaml"))
ERRORS = sorted((CASES / "errors").glob("*.yaml"))
FORMS = ("module", "functional")
PARTING = "\n# -------- act=functional --------\n\n"
WITH = re.compile(r"^# with (\{.*\})$", re.MULTILINE)
CODE = re.compile(r"NS\d{3}")
MEND = re.compile(r"^# mended: (.+?) →(?: (.*))?$", re.MULTILINE)
MENDED_CODES = ("NS1", "NS2", "NS3", "NS5")
OF_RUNS = Path(__file__).parent / "run" / "cases"  # tests/run/test_bad_input.py plays them

# What no file can show: the whole call is wrong.
CALLS: Mapping[str, Mapping[str, object]] = {
    "NS105_no_such_file": {"source": "no_such_file.yaml"},
    "NS105_no_such_name": {"source": "lenett"},
    "NS105_a_folder": {"source": "./parts"},
    "NS107_not_a_spec": {"source": {"netspec": 1, "inputs": {"x": [2, 3]}, "layers": {"a": print}}},
    "NS201_act_has_no_such_key": {"source": "lenet", "act": {"forms": "module"}},
    "NS206_no_such_form": {"source": "lenet", "act": "functionnal"},
    "NS220_no_such_plugin": {"source": "lenet", "plugins": ["no_such_plugin"]},
    "NS206_no_such_activation_for_all": {"source": "lenet", "act": {"fn": "gellu"}},
}


IN_OTHER_TESTS = {"NS221"}  # of a layer that no file can import: tests/registration


def options_of(case: Path) -> dict[str, object]:
    """How the case says that it is built, as keyword arguments."""
    found = WITH.search(case.read_text(encoding="utf-8"))
    options: dict[str, object] = json.loads(found[1]) if found else {}
    return options


def sources_of(case: Path) -> dict[str, str]:
    """The Python source of each form."""
    return {form: netspec.to_python(case, act=form, **options_of(case)) for form in FORMS}


def shown(sources: Mapping[str, str]) -> str:
    """What stands in the case's `.py.txt`: the functional form only where it is another."""
    module, functional = (sources[form] for form in FORMS)
    return module if module == functional else module + PARTING + functional


def program_of(case: Path) -> str:
    """The program as text, in the module form; its places name the case by its file alone."""
    text = program_text(compile_spec(case, **options_of(case)).program)
    return text.replace(f"{case.parent}{os.sep}", "")


def told(source: object, **options: object) -> str:
    """All that is wrong, as the user sees it."""
    try:
        found = netspec.check(source, **options)
    except netspec.SpecError as error:
        found = error.diagnostics
    assert found, "nothing is wrong with it"
    return "\n\n".join(map(str, found)) + "\n"


# Specs that are right


@pytest.mark.parametrize("case", OK, ids=lambda case: case.stem)
def test_source_is_as_shown(case: Path) -> None:
    expected = case.with_suffix(".py.txt").read_text(encoding="utf-8")
    assert shown(sources_of(case)) == expected


@pytest.mark.parametrize("case", OK, ids=lambda case: case.stem)
def test_program_is_as_shown(case: Path) -> None:
    assert program_of(case) == case.with_suffix(".program.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", OK, ids=lambda case: case.stem)
def test_running_and_exported_are_equal(case: Path) -> None:
    keys, outputs = [], []
    for form, source in sources_of(case).items():
        model = netspec.build(case, act=form, seed=0, **options_of(case))
        exported = model_from(source, case)
        assert compare_state(model, exported) == []
        results = [run(each, batch) for batch in batches(case) for each in (model, exported)]
        for ours, theirs in zip(results[::2], results[1::2], strict=True):
            assert compare_values(ours, theirs) == []
        keys.append(list(model.state_dict()))
        outputs.append(results)
    assert keys[0] == keys[1]
    assert compare_values(outputs[0], outputs[1]) == []


def model_from(source: str, case: Path) -> nn.Module:
    """The model of an exported source, which sees nothing of netspec."""
    namespace: dict[str, object] = {"__name__": case.stem}
    exec(compile(source, f"{case.stem}.py", "exec"), namespace)
    torch.manual_seed(0)
    model = namespace["build_model"]()  # type: ignore[operator]
    assert isinstance(model, nn.Module)
    return model


def batches(case: Path) -> Iterator[Sequence[Tensor | None]]:
    """Inputs of the types that the spec was checked with, one batch for each; some may be None."""
    inputs = compile_spec(case, **options_of(case)).program.inputs
    generator = torch.Generator().manual_seed(1)
    for types in dict.fromkeys(zip(*(port.facts for port in inputs), strict=True)):
        yield [fact and random_tensor(fact.shape, fact.dtype, generator) for fact in types]


def random_tensor(shape: Sequence[int], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    if dtype.is_floating_point:
        return torch.rand(shape, dtype=dtype, generator=generator)
    if dtype == torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    return torch.randint(0, 2, shape, dtype=dtype, generator=generator)


def run(model: nn.Module, batch: Sequence[Tensor | None]) -> list[object]:
    """The outputs in both modes, each from one seed; running statistics move in the first."""
    found: list[object] = []
    for training in (True, False):
        model.train(training)
        torch.manual_seed(2)
        with torch.no_grad():
            found.append(model(*(None if x is None else x.clone() for x in batch)))
    return found


# Specs that are wrong


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.stem)
def test_message_is_as_shown(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case.parent)
    text = told(case.name, **options_of(case))
    assert text == case.with_suffix(".txt").read_text(encoding="utf-8")
    assert f"error[{case.stem[:5]}]" in text


@pytest.mark.parametrize("name", ["NS203_five_mistakes_a", "NS212_five_mistakes_b"])
def test_five_mistakes_are_told_as_five(name: str) -> None:
    found = netspec.check(CASES / "errors" / f"{name}.yaml")
    lines = [diagnostic.span.line for diagnostic in found]
    assert len({diagnostic.code for diagnostic in found}) >= 4
    assert len(lines) == 5
    assert lines == sorted(lines)


@pytest.mark.parametrize("name", CALLS)
def test_message_of_a_call_is_as_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES / "errors")
    text = told(**CALLS[name])
    assert text == (CASES / "errors" / f"{name}.txt").read_text(encoding="utf-8")
    assert f"error[{name[:5]}]" in text


def mended(text: str) -> str | None:
    """The case's text after its mends, or None where it names none."""
    mends = MEND.findall(text)
    if not mends:
        return None
    text = MEND.sub("", text)
    for old, new in mends:
        old, new = (_unescaped(part) for part in (old, new))
        assert text.count(old) >= 1, f"`{old}` is not there to be mended"
        text = text.replace(old, new)
    return text


def _unescaped(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\t", "\t").replace("&quot;", '"')


@pytest.mark.parametrize(
    "case", [c for c in ERRORS if c.stem.startswith(MENDED_CODES)], ids=lambda case: case.stem
)
def test_mended_twin_builds(case: Path, tmp_path: Path) -> None:
    """Beside each spec that is refused there is one, next to it, that is accepted."""
    text = mended(case.read_text(encoding="utf-8"))
    assert text is not None, "add `# mended: old → new`"
    shutil.copytree(case.parent / "parts", tmp_path / "parts")
    twin = tmp_path / case.name
    twin.write_text(text, encoding="utf-8")
    netspec.build(twin, device="meta", **options_of(twin))


@cache
def codes() -> set[str]:
    """Every code that netspec can raise."""
    files = (Path(netspec.__file__).parent).rglob("*.py")
    return {code for file in files for code in CODE.findall(file.read_text(encoding="utf-8"))}


def test_each_code_has_a_case_and_a_page() -> None:
    shown = {case.stem[:5] for case in (*ERRORS, *OF_RUNS.glob("NS*.txt"))}
    shown |= {name[:5] for name in CALLS} | IN_OTHER_TESTS
    pages = {page.stem for page in (CASES.parents[1] / "docs" / "errors").glob("NS*.md")}
    assert shown == codes()
    assert pages == codes()


def test_no_text_is_left_over() -> None:
    texts = {file.name for file in (CASES / "ok").glob("*.txt")}
    assert texts == {f"{case.stem}.{kind}.txt" for case in OK for kind in ("py", "program")}
    texts = {file.stem for file in (CASES / "errors").glob("*.txt")}
    assert texts == {case.stem for case in ERRORS} | set(CALLS)


def update(only: Sequence[str]) -> None:
    """Write the texts anew: all of them, or those of the cases named."""
    for case in OK:
        if not only or case.stem in only:
            write(case.with_suffix(".py.txt"), lambda case=case: shown(sources_of(case)))
            write(case.with_suffix(".program.txt"), lambda case=case: program_of(case))
    os.chdir(CASES / "errors")
    for case in ERRORS:
        if not only or case.stem in only:
            write(case.with_suffix(".txt"), lambda case=case: told(case.name, **options_of(case)))
    for name, call in CALLS.items():
        if not only or name in only:
            write(CASES / "errors" / f"{name}.txt", lambda call=call: told(**call))


def write(file: Path, make: Callable[[], str]) -> None:
    """The text into its file; a case that gives none is named, and the others go on."""
    try:
        text = make()
    except (netspec.SpecError, AssertionError) as error:
        print(f"{file.relative_to(CASES)} gives no text: {error}")
        return
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8", newline="\n")
        print(f"{file.relative_to(CASES)} written")


if __name__ == "__main__":
    flag, *names = sys.argv[1:] or [""]
    assert flag == "--update", "python -m tests.test_cases --update [case …]"
    update(names)
