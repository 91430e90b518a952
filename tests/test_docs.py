"""The code in README.md and docs/ is run, block by block, and what it is said to give is compared.

- ```python      runs. A file's blocks share one namespace and one temporary folder, in order, with
                 a copy of the repository's configs/ in it.
- ```yaml        that begins with `netspec:` is checked and built on `meta`;
                 `yaml error NS203 NS301` has exactly these diagnostics, and
                 `yaml args={"width": 3}` is given these args.
- ```text output right after a python block is what that prints, after an error its diagnostics.
- ```text source (or `python source`) right after a spec is its netspec.to_python; with
                 `act=functional`, in that form. Several may follow one another.
- ```console      whose lines after `$ ` are commands of netspec has what each of them says, stdout
                 and stderr together; they run in the page's folder, which is called /here.
- `no-run WHY`   after python, yaml or console skips the block, for that reason.

Other languages, and yaml that is no whole spec, are left alone.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import netspec
from tests.registrations import Registrations
from tests.run.console import played

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"(?P<indent> *)(?P<ticks>`{3,}|~{3,}) *(?P<info>[^`]*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its place, the words after the fence, its text, and the block it belongs to.

    `owner` is the block that stands right before, with nothing but blank lines between; a row of
    `source` blocks has one owner, the spec.
    """

    file: str
    line: int
    words: tuple[str, ...]
    text: str
    owner: Block | None

    @property
    def language(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def role(self) -> str:
        """What is to be done with it: python, spec, output, source, or nothing."""
        for role in ("output", "source"):
            if role in self.words[1:]:
                return role
        if self.language in ("python", "console"):
            return self.language
        first = next((t for t in self.text.splitlines() if t.strip() and t[0] != "#"), "")
        return "spec" if self.language == "yaml" and first.startswith("netspec:") else ""

    def options(self) -> dict[str, object]:
        """The words of the form key=value: JSON, or else plain text."""
        pairs = (word.split("=", 1) for word in self.words if "=" in word)
        return {key: json.loads(v) if v[:1] in '{["' else v for key, v in pairs}


def blocks_of(file: str, text: str) -> list[Block]:
    blocks: list[Block] = []
    numbered = iter(enumerate(text.splitlines(), start=1))
    neighbour: Block | None = None
    for number, line in numbered:
        opening = FENCE.match(line)
        if not opening:
            neighbour = neighbour if not line.strip() else None
            continue
        body = "\n".join(body_lines(numbered, opening["ticks"], f"{file}:{number}"))
        block = Block(
            file, number, words_of(opening["info"]), textwrap.dedent(body) + "\n", neighbour
        )
        blocks.append(block)
        neighbour = neighbour if block.role == "source" else block
    return blocks


def body_lines(numbered: Iterator[tuple[int, str]], ticks: str, place: str) -> Iterator[str]:
    for _, line in numbered:
        closing = line.strip()
        if closing.startswith(ticks) and not closing.strip(ticks[0]):
            return
        yield line
    raise AssertionError(f"{place}: this fence is never closed")


def words_of(info: str) -> tuple[str, ...]:
    """The info string in words; spaces inside braces and brackets don't part them."""
    return tuple(re.findall(r"(?:\{[^}]*\}|\[[^]]*\]|\S)+", info))


# Running them


@dataclass
class Page:
    """A file's blocks, its namespace and folder; `printed` by line, as far as it has been run."""

    blocks: list[Block]
    folder: Path
    namespace: dict[str, object] = field(default_factory=lambda: {"__name__": "__docs__"})
    printed: dict[int, str] = field(default_factory=dict)
    registrations: Registrations = field(default_factory=Registrations)

    def run_to(self, block: Block) -> str:
        """What a block gives, after the python and console blocks before it have been run."""
        for earlier in self.blocks:
            runs = earlier.role in ("python", "console") and reason_to_skip(earlier) is None
            if runs and earlier.line <= block.line and earlier.line not in self.printed:
                run = self.run_python if earlier.role == "python" else self.run_console
                self.printed[earlier.line] = run(earlier)
        return self.printed[block.line]

    def run_python(self, block: Block) -> str:
        padded = "\n" * block.line + block.text  # a traceback names the line of the page
        code = compile(padded, str(ROOT / block.file), "exec")
        printed = io.StringIO()
        here = Path.cwd()
        os.chdir(self.folder)
        try:
            with contextlib.redirect_stdout(printed):
                exec(code, self.namespace)
        finally:
            os.chdir(here)
        return printed.getvalue()

    def run_console(self, block: Block) -> str:
        here = Path.cwd()
        os.chdir(self.folder)
        try:
            return played(block.text)[0].replace(str(self.folder), "/here")
        finally:
            os.chdir(here)


def verify(block: Block, page: Page) -> None:
    """Run a block, or compare it with what its owner gives; AssertionError where it is not so."""
    with page.registrations.entered():
        _verify(block, page)


def _verify(block: Block, page: Page) -> None:
    match block.role:
        case "python":
            page.run_to(block)
        case "console":
            assert_same_text(page.run_to(block), block.text)
        case "spec":
            verify_spec(block)
        case "output":
            assert_same_text(output_of(block.owner, page), block.text)
        case "source":
            assert block.owner, "no block stands right before"
            assert block.owner.role == "spec", "a source belongs to a spec"
            spec = netspec.loads(block.owner.text)
            options = block.owner.options() | block.options()
            assert_same_text(netspec.to_python(spec, **options), block.text)


def verify_spec(block: Block) -> None:
    if "error" in block.words:
        named = [word.strip(",") for word in block.words if word.startswith("NS")]
        assert named, "an error block names its codes"
        assert sorted(d.code for d in diagnostics_of(block)) == sorted(named)
        return
    assert [str(d) for d in diagnostics_of(block)] == []
    netspec.build(netspec.loads(block.text), device="meta", **block.options())


def diagnostics_of(block: Block) -> list[netspec.Diagnostic]:
    try:
        return list(netspec.check(netspec.loads(block.text), **block.options()))
    except netspec.SpecError as error:
        return list(error.diagnostics)


def output_of(owner: Block | None, page: Page) -> str:
    assert owner, "no block stands right before"
    if owner.role == "python":
        return page.run_to(owner)
    assert "error" in owner.words, "an output belongs to a python or an error block"
    return "\n\n".join(map(str, diagnostics_of(owner)))


def assert_same_text(real: str, shown: str) -> None:
    def lines(text: str) -> list[str]:
        return [line.rstrip() for line in text.strip("\n").splitlines()]

    assert lines(real) == lines(shown)


def reason_to_skip(block: Block) -> str | None:
    if "no-run" not in block.words:
        return None
    reason = " ".join(block.words[block.words.index("no-run") + 1 :])
    assert reason, "`no-run` is followed by the reason"
    return reason


# The pages


def pages() -> dict[str, list[Block]]:
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    texts = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}
    return {name: blocks_of(name, text) for name, text in texts.items()}


PAGES = pages()
BLOCKS = [block for blocks in PAGES.values() for block in blocks if block.role]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    return {
        name: new_page(blocks, tmp_path_factory.mktemp("page")) for name, blocks in PAGES.items()
    }


def new_page(blocks: list[Block], folder: Path) -> Page:
    shutil.copytree(ROOT / "configs", folder / "configs")
    return Page(blocks, folder)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.file}:{block.line}")
def test_block(block: Block, opened: dict[str, Page]) -> None:
    reason = reason_to_skip(block)
    if reason is not None:
        pytest.skip(reason)
    verify(block, opened[block.file])


# The rules at work

SPEC = """\
netspec: 1
name: Small
inputs: {x: [N, 4]}
layers:
  fc: {module: Linear, out_features: 2}
"""
SOURCE = "<the source of SPEC>"
NO_COMMAND = "\n" + played("$ netspec nosuch")[0].partition("\n")[2]


def run_text(text: str, folder: Path) -> None:
    if SOURCE in text:
        text = text.replace(SOURCE, netspec.to_python(netspec.loads(SPEC)).rstrip())
    page = new_page(blocks_of("page.md", text), folder)
    for block in page.blocks:
        verify(block, page)


def fenced(info: str, text: str) -> str:
    return f"```{info}\n{text.rstrip()}\n```\n"


GOOD = {
    "blocks share names": fenced("python", "a = 2") + "text\n" + fenced("python", "assert a == 2"),
    "blocks share a folder": fenced("python", "open('a', 'w').close()")
    + fenced("python", "import os; os.remove('a')"),
    "configs": fenced("python", "import os; assert os.path.isdir('configs/model')"),
    "output": fenced("python", "print(1)\nprint(2)") + "\n" + fenced("text output", "1\n2"),
    "a spec": fenced("yaml", SPEC),
    "a spec under a comment": fenced("yaml", "# small.yaml\n" + SPEC),
    "no whole spec": fenced("yaml", "fc: {module: Nonsense}"),
    "an error": fenced("yaml error NS203", SPEC.replace("out_features", "out_feature")),
    "source": fenced("yaml", SPEC) + "\n" + fenced("text source", SOURCE),
    "two sources": fenced("yaml", SPEC) + fenced("python source act=functional", SOURCE) * 2,
    "indented": textwrap.indent(fenced("python", "if True:\n    print(1)"), "  ")
    + textwrap.indent(fenced("text output", "1"), "  "),
    "a command": fenced("console", "$ netspec nosuch" + NO_COMMAND),
    "longer fence": "````python\na = '''\n```\n'''\n````\n",
}
BAD = {
    "raises": (fenced("python", "1 / 0"), ZeroDivisionError),
    "other output": (fenced("python", "print(1)") + fenced("text output", "2"), AssertionError),
    "text between": (
        fenced("python", "print(1)") + "text\n" + fenced("text output", "1"),
        AssertionError,
    ),
    "not this error": (fenced("yaml error NS203", SPEC), AssertionError),
    "another error": (
        fenced("yaml error NS999", SPEC.replace("out_features", "out_feature")),
        AssertionError,
    ),
    "a spec that is wrong": (
        fenced("yaml", SPEC.replace("out_features", "out_feature")),
        AssertionError,
    ),
    "other source": (fenced("yaml", SPEC) + fenced("text source", "pass"), AssertionError),
    "source of nothing": (fenced("text source", SOURCE), AssertionError),
    "another answer": (fenced("console", "$ netspec nosuch\nyes"), AssertionError),
    "an open fence": ("```python\na = 1\n", AssertionError),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_true_text_passes(text: str, tmp_path: Path) -> None:
    run_text(text, tmp_path)


@pytest.mark.parametrize(("text", "error"), BAD.values(), ids=BAD)
def test_untrue_text_fails(text: str, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        run_text(text, tmp_path)


def test_a_traceback_names_the_page(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run_text("a page\n\n" + fenced("python", "a = 0\n1 / a"), tmp_path)
    assert caught.traceback[-1].lineno + 1 == 5


def test_no_run_needs_a_reason() -> None:
    with_reason, without = blocks_of(
        "page.md", "```python no-run a GPU\n```\n```python no-run\n```\n"
    )
    assert reason_to_skip(with_reason) == "a GPU"
    with pytest.raises(AssertionError, match="reason"):
        reason_to_skip(without)
