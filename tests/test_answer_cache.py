"""The answers of `check` on disk: when they are used, when not, and what a broken one does."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from netspec import file_trace
from netspec.cli import main
from netspec.commands import answer_cache, check_specs, environment, parsers
from netspec.commands.answer_cache import Answer, AnswerCache
from netspec.errors import Diagnostic, Note, Span
from netspec.limits import Limits, raised

ROOT = Path(__file__).resolve().parent.parent
GOOD = (
    "netspec: 1\nname: Net\ninputs: {x: [N, 4]}\nlayers:\n  fc: {module: Linear, out_features: 2}\n"
)
BAD = GOOD.replace("es: 2", "es: 2, biass: 1")
NEEDS = GOOD.replace("inputs", "args: {n: 2}\ninputs").replace("features: 2", "features: =n")
BLOCKS = "netspec: 1\nblocks:\n  B: {inputs: {x: [N, 4]}, layers: {a: ReLU}}\n"
INCLUDES = GOOD + "  b: {block: B}\ninclude: parts/blocks.yaml\n"
PART = GOOD + "  part: {spec: part}\n"
SPAN = Span("é\udcff.yaml", 3, 2, 5, "fc: {module: \x1b[31m}")
NOTE = Note("a note", SPAN)
WRONG = Diagnostic("NS203", "a fact", SPAN, ("a note", "{}"), "a help")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with specs, and an empty cache beside it, in a process that seems new."""
    here = tmp_path / "here"
    for name, text in {
        "good.yaml": GOOD, "bad.yaml": BAD, "needs.yaml": NEEDS, "parts/blocks.yaml": BLOCKS,
        "includes.yaml": INCLUDES, "has_part.yaml": PART, "configs/model/part.yaml": NEEDS,
        "variant.yaml": "netspec: 1\nspec: needs\nargs: {n: 3}\n",
        "gone.yaml": INCLUDES.replace("blocks.yaml", "block.yaml"),
    }.items():  # fmt: skip
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(here)
    monkeypatch.setenv("NETSPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(answer_cache, "_is_fresh", lambda: True)
    return tmp_path / "cache" / "check"


@pytest.fixture
def says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, list[str]]]:
    """Runs `check`; gives what it says, and the files that no answer on disk was found for."""
    checked: list[str] = []
    real = check_specs.check_specs

    def counted(
        files: Sequence[str], options: Namespace, cache: AnswerCache | None
    ) -> dict[str, Answer]:
        checked.extend(files)
        return real(files, options, cache)

    monkeypatch.setattr(check_specs, "check_specs", counted)

    def says(*arguments: str) -> tuple[str, list[str]]:
        checked.clear()
        status = main(["check", *arguments])
        said = capsys.readouterr()
        return f"{status}\n{said.out}\n{said.err}", list(checked)

    return says


# When an answer is used


@pytest.mark.parametrize(
    "files",
    [
        "good.yaml",
        "bad.yaml",
        "has_part.yaml",
        "gone.yaml",
        "part",
        "no_such",
        "good.yaml part",
        ".",
    ],
)
def test_an_unchanged_spec_is_not_checked_again(says, files: str) -> None:
    first, checked = says(*files.split())
    assert checked
    assert says(*files.split()) == (first, [])
    assert says(*files.split(), "--no-cache") == (first, checked)


def test_of_many_specs_those_that_changed_are_checked(says) -> None:
    says(".")
    Path("bad.yaml").write_text(GOOD, encoding="utf-8")
    assert says(".")[1] == ["./bad.yaml"]
    assert says("good.yaml", "./good.yaml")[1] == ["good.yaml"]
    assert says("./good.yaml", "good.yaml", "lenet", "--json")[1] == ["lenet"]


def test_how_it_is_shown_is_no_part_of_the_question(says) -> None:
    says("bad.yaml")
    for option in ("--json", "--sarif"):
        cached, fresh = says("bad.yaml", option), says("bad.yaml", option, "--no-cache")
        assert cached == (fresh[0], []) and fresh[1] == ["bad.yaml"]


CHANGES = {
    "its text": ("includes.yaml", lambda: _append("includes.yaml")),
    "an include": ("includes.yaml", lambda: _append("parts/blocks.yaml")),
    "a part": ("has_part.yaml", lambda: _append("configs/model/part.yaml")),
    "a nearer part": ("has_part.yaml", lambda: Path("part.yaml").write_text(NEEDS)),
    "the spec of a variant": ("variant.yaml", lambda: _append("needs.yaml")),
    "a name that is a file now": ("part", lambda: Path("part").write_text(GOOD)),
    "a missing file": ("gone.yaml", lambda: Path("parts/block.yaml").write_text(BLOCKS)),
    "a name near a missing one": ("gone.yaml", lambda: Path("parts/bloc.yaml").touch()),
    "a lost file": ("includes.yaml", lambda: Path("parts/blocks.yaml").unlink()),
    "a link": ("includes.yaml", lambda: _as_link("parts/blocks.yaml")),
    "what is no file": ("good.yaml", lambda: (os.unlink("good.yaml"), os.mkdir("good.yaml"))),
}


def _append(file: str) -> None:
    with open(file, "a", encoding="utf-8") as out:
        out.write("# changed\n")


def _as_link(file: str) -> None:
    os.rename(file, "elsewhere")
    os.symlink(Path("elsewhere").resolve(), file)


@pytest.mark.parametrize(("file", "change"), CHANGES.values(), ids=CHANGES)
def test_what_was_read_or_missed_has_changed(says, file: str, change: Callable[[], None]) -> None:
    says(file)
    assert says(file)[1] == []
    change()
    again, checked = says(file)
    assert checked == [file] and again == says(file, "--no-cache")[0]


@pytest.mark.parametrize(
    "options",
    ["--act inplace", "--act functional --fn gelu", "--arg n=3", "--set layers.fc.bias=false",
     "--limit layers=7", "--limit text=2e6"],
)  # fmt: skip
def test_what_was_typed_is_part_of_the_question(says, options: str) -> None:
    says("needs.yaml")
    first = says("needs.yaml", *options.split())
    assert first[1] == ["needs.yaml"]
    assert says("needs.yaml", *options.split()) == (first[0], [])
    assert says("needs.yaml")[1] == []


def test_what_is_wrong_with_what_was_typed_is_told_each_time(says, folder: Path) -> None:
    for options in (["--act", "x"], ["--limit", "x=1"], ["--arg", "n=[1"], ["--plugin", "no_such"]):
        first, _ = says("good.yaml", *options)
        assert first[0] == "2" and says("good.yaml", *options)[0] == first
    assert not folder.exists()


def test_an_arg_of_several_specs_depends_on_all_of_them(says) -> None:
    for _ in range(2):
        assert says("good.yaml", "needs.yaml", "--arg", "n=3")[1] == ["good.yaml", "needs.yaml"]
        assert says(".", "--arg", "n=3")[1]


def test_who_answers_and_where_is_part_of_the_question(
    says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    for name in environment._PACKAGES:
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").touch()
    (site / "torch/version.py").write_text("__version__ = '1'\n")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/a.py").touch()

    def stands() -> bool:
        found = says("good.yaml")[1] == []
        return found and says("good.yaml")[1] == []

    says("good.yaml")
    assert stands()
    monkeypatch.setenv("TORCH_SHOW_CPP_STACKTRACES", "1")
    assert not stands() and stands()
    monkeypatch.setattr(environment, "_PACKAGE", tmp_path / "own")
    assert not stands() and stands()
    (tmp_path / "own/a.py").write_text("1")
    assert not stands() and stands()
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    assert not stands() and stands()
    (site / "torch/version.py").write_text("__version__ = '2'\n")
    assert not stands() and stands()
    (site / "PyYAML-9.dist-info").mkdir()
    assert not stands() and stands()
    monkeypatch.setattr(sys, "version", "4.0")
    assert not stands() and stands()
    monkeypatch.setattr(environment, "__version__", "9")
    assert not stands() and stands()
    monkeypatch.setattr(answer_cache, "_FORMAT", answer_cache._FORMAT + 1)
    assert not stands() and stands()
    os.mkdir("below")
    os.rename("good.yaml", "below/good.yaml")
    monkeypatch.chdir("below")
    assert not stands()


def test_nothing_is_kept_where_it_cannot_be_told_what_answers(
    says, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(environment, "_PACKAGES", {"no_such_package": "no_such_package-"})
        says("good.yaml")
    with monkeypatch.context() as patch:
        patch.setattr(answer_cache, "_is_fresh", lambda: False)
        says("good.yaml")
    for value in ("0", "off"):
        monkeypatch.setenv("NETSPEC_CACHE", value)
        says("good.yaml")
    assert not folder.exists()


def test_nothing_is_kept_after_a_crash(says, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (KeyboardInterrupt, AssertionError, MemoryError):

        def fails(*_: object, error: type[BaseException] = error) -> None:
            raise error

        monkeypatch.setattr(check_specs, "compile_given", fails)
        with pytest.raises(error):
            says("good.yaml")
    assert not folder.exists()


def test_standard_input_is_read_each_time(says, monkeypatch: pytest.MonkeyPatch) -> None:
    from io import StringIO

    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", StringIO(GOOD))
        assert says("-")[1] == ["-"]


def test_a_file_that_changes_while_it_is_checked_is_checked_again(
    says, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = check_specs.look_at

    def slow(file: str) -> object:
        looked = real(file)
        _append(file)
        return looked

    with monkeypatch.context() as patch:
        patch.setattr(check_specs, "look_at", slow)
        says("good.yaml")
    assert says("good.yaml")[1] == ["good.yaml"]
    assert says("good.yaml")[1] == []


def test_a_spec_that_this_process_remembers_is_kept_with_its_trace(says) -> None:
    says("includes.yaml")
    says("./includes.yaml")
    _append("parts/blocks.yaml")
    assert says("./includes.yaml")[1] == ["./includes.yaml"]


# What is on disk


@pytest.fixture
def entry(folder: Path) -> Iterator[tuple[AnswerCache, Path]]:
    """A cache with the answer `WRONG` of a file, and where it is."""
    cache = AnswerCache(folder, "asked")
    cache.keep("a.yaml", Answer("a.yaml", (WRONG,), (NOTE,)), {})
    (file,) = folder.iterdir()
    yield cache, file
    assert not list(folder.glob("*.tmp"))


def test_what_is_read_is_what_was_written(entry: tuple[AnswerCache, Path]) -> None:
    cache, file = entry
    assert cache.find("a.yaml") == Answer("a.yaml", (WRONG,), (NOTE,))
    assert cache.find("b.yaml") is None
    assert AnswerCache(file.parent, "asked otherwise").find("a.yaml") is None
    other = file.with_name(f"{cache._key('b.yaml')}.json")
    other.write_bytes(file.read_bytes())  # an answer under another's name is none
    assert cache.find("b.yaml") is None


def test_a_damaged_entry_is_ignored(entry: tuple[AnswerCache, Path]) -> None:
    cache, file = entry
    whole = file.read_bytes()
    damaged = [whole[:size] for size in range(0, len(whole), 7)]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    damaged += [b"\0" * 100, os.urandom(500), whole + b" ", b"[" * 100_000, b"1" * 100_000]
    for data in damaged:
        file.write_bytes(data)
        assert cache.find("a.yaml") is None
    file.write_bytes(whole)
    assert cache.find("a.yaml") is not None


def test_a_made_up_entry_is_ignored(entry: tuple[AnswerCache, Path]) -> None:
    """Its digest is right, its parts are none that netspec writes."""
    cache, file = entry
    good = json.loads(file.read_bytes().partition(b"\n")[2])
    (code, fact, place, *rest) = good["found"][0]
    notes, help, edits, related = rest
    made_up: list[object] = [
        None, 1, [], {}, {**good, "trace": None}, {**good, "trace": [["kind", "a"]]},
        {**good, "trace": [["kind", 1, "x"]]}, {**good, "trace": [["run", "a", "b"]]},
        {**good, "trace": [["bytes", "/dev/zero", "x"]]}, {**good, "trace": [["kind", "\0", "x"]]},
        {**good, "trace": [["kind", "a", "changed"]]}, {**good, "name": 1}, {**good, "notes": "ab"},
        {**good, "name": "\ud800"}, {**good, "found": [1]}, {**good, "found": [[code, fact]]},
        {**good, "found": [[code, fact, place, notes, 1, edits, related]]},
        {**good, "found": [[code, fact, place, notes, "help", [1], related]]},
        {**good, "found": [[code, fact, place, notes, "help", "word", related]]},
        {**good, "found": [[code, fact, place, notes, help, edits, [1]]]},
        {**good, "found": [[code, fact, place, notes, help, edits, [[place, 1]]]]},
        *(
            {**good, "found": [[code, fact, [*place[:at], value, *place[at + 1 :]], *rest]]}
            for at in range(5)
            for value in (None, -1, 1.5, True, 10**30, [])
        ),
    ]  # fmt: skip
    for data in made_up:
        _write(cache, file, json.dumps(data).encode())
        assert cache.find("a.yaml") is None, data
    for text in (b"[" * 200_000, b"1" * 10_000, b'{"trace": NaN}'):
        _write(cache, file, text)
        assert cache.find("a.yaml") is None
    _write(cache, file, json.dumps(good).encode())
    assert cache.find("a.yaml") is not None


def _write(cache: AnswerCache, file: Path, body: bytes) -> None:
    key = cache._key("a.yaml").encode()
    file.write_bytes(file_trace.digest(key + body).encode() + b"\n" + body)


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders, no owners by number")
def test_what_is_no_file_of_ours_is_ignored(
    entry: tuple[AnswerCache, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, file = entry
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert cache.find("a.yaml") is None
    file.unlink()
    os.mkfifo(file)
    assert cache.find("a.yaml") is None
    file.unlink()
    file.mkdir()
    assert cache.find("a.yaml") is None
    cache.keep("a.yaml", Answer("a.yaml"), {})
    cache.prune()


def test_control_characters_of_an_entry_reach_no_terminal(says, folder: Path) -> None:
    says("bad.yaml")
    (file,) = folder.iterdir()
    body = file.read_bytes().partition(b"\n")[2].replace(b"biass", b"\\u001b[31m\\u202e")
    key = file.stem.encode()
    file.write_bytes(file_trace.digest(key + body).encode() + b"\n" + body)
    said, checked = says("bad.yaml")
    assert checked == [] and "<U+001B>" in said and "<U+202E>" in said
    assert not {"\x1b", "\u202e"} & set(said)


@pytest.mark.parametrize("place", ["a_file", "a_file/below", "\0", "/proc/no_such", "/dev/null"])
def test_a_folder_that_cannot_be_written_changes_nothing(
    says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "a_file").touch()
    if "\0" in place:
        monkeypatch.setattr(answer_cache, "cache_folder", lambda: tmp_path / place)
    else:
        monkeypatch.setenv("NETSPEC_CACHE", os.path.join(tmp_path, place))
    for _ in range(2):
        assert says("good.yaml") == ("0\ngood.yaml: fine\n\n", ["good.yaml"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_is_read(says, folder: Path) -> None:
    says("good.yaml")
    folder.chmod(0o500)
    assert says("good.yaml")[1] == [] and says("bad.yaml")[1] == ["bad.yaml"]
    folder.chmod(0o700)


def test_the_oldest_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = AnswerCache(folder, "asked")
    for number in range(6):
        cache.keep(str(number), Answer("x" * 1_000), {})
        os.utime(folder / f"{cache._key(str(number))}.json", (number, number))
    (folder / "somebody's.json").touch()
    kept = [str(n) for n in range(6)]
    for most, bytes_, left in ((4, 10**9, "2345"), (4, 2_500, "45"), (4, 0, "")):
        monkeypatch.setattr(answer_cache, "MOST_ENTRIES", most)
        monkeypatch.setattr(answer_cache, "MOST_BYTES", bytes_)
        cache.prune()
        assert [n for n in kept if cache.find(n)] == list(left)
    assert [file.name for file in folder.iterdir()] == ["somebody's.json"]
    cache.keep("large", Answer("x" * answer_cache.MOST_OF_ONE), {})
    assert cache.find("large") is None


def test_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NETSPEC_CACHE")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for platform, variables, below in (
        ("linux", {}, ".cache/netspec"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, ".cache/netspec"),
        ("linux", {"XDG_CACHE_HOME": str(tmp_path / "xdg")}, "xdg/netspec"),
        ("darwin", {}, "Library/Caches/netspec"),
        ("win32", {}, "AppData/Local/netspec"),
        ("win32", {"LOCALAPPDATA": str(tmp_path / "local")}, "local/netspec"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert answer_cache.cache_folder() == tmp_path / below


WRITER = """
import sys
from pathlib import Path
from netspec.commands.answer_cache import Answer, AnswerCache
cache = AnswerCache(Path(sys.argv[1]), "asked")
answers = [Answer(letter * 20_000) for letter in "ab"]
for turn in range(300):
    cache.keep("a.yaml", answers[turn % 2], {})
    assert cache.find("a.yaml") in answers
    cache.prune()
"""


def test_two_processes_share_a_folder(folder: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert len(list(folder.iterdir())) == 1


# A new process


FRESH = """
import sys
from netspec.cli import main
status = main(sys.argv[1:])
heavy = [name for name in ("torch", "pydantic", "yaml", "numpy") if name in sys.modules]
print(*heavy, file=sys.stderr)
"""


def test_a_kept_answer_imports_nothing_heavy(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run() -> tuple[str, str]:
        command = [sys.executable, "-c", FRESH, "check", "bad.yaml", "good.yaml"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout, done.stderr

    first, warm = run(), run()
    assert "torch" in first[1] and len(list(folder.iterdir())) == 2
    assert warm == (first[0], "\n")


# Plugins


PLUGIN = """
import netspec
import helping

@netspec.register("{0}/shift")
def shift(x, by: float = 1.0):
    return x + by
"""


def test_a_plugin_is_known_by_its_files(
    says, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netspec.ops import registry

    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("keeping.py").write_text(PLUGIN.format("keeping"), encoding="utf-8")
    Path("helping.py").write_text("", encoding="utf-8")
    Path("net.yaml").write_text(
        f"{GOOD}  s: {{call: keeping/shift}}\nrequires: [keeping]\n", encoding="utf-8"
    )
    path = list(sys.path)

    def checked() -> list[str]:
        sys.path[:] = path  # as a new process has it
        said, files = says("net.yaml", "--plugin", "keeping")
        assert said.startswith("0")
        return files

    try:
        assert checked() and not checked()
        for file in ("keeping.py", "helping.py", "net.yaml"):
            _append(file)
            assert checked() and not checked()
        Path(folder.parent / "installed").mkdir()
        path.append(str(folder.parent / "installed"))
        assert checked() and not checked()
        (folder.parent / "installed/keeping.py").touch()
        assert checked() and not checked()
        with raised(Limits(text=10)):  # more than this is read of no file
            assert not check_specs._read_modules()
    finally:
        registry.forget("keeping")
        for name in ("keeping", "helping"):
            sys.modules.pop(name, None)


# All cases, and all questions


def test_all_cases_are_told_the_same_from_disk(
    says, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "tests" / "cases")
    files = sorted(str(file) for file in Path("errors").glob("NS*.yaml"))[::8]
    files += sorted(str(file) for file in Path("ok").glob("*.yaml"))[::16]
    options = parsers.check_parser().parse_args(files)
    answers = check_specs.check_specs(files, options, answer_cache.open_cache(options))
    capsys.readouterr()
    monkeypatch.setattr(
        check_specs, "check_specs", lambda files, *_: {f: answers[f] for f in files}
    )
    for form in ([], ["--json"], ["--sarif"]):
        fresh = main(["check", *files, *form, "--no-cache"]), *capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.delattr(check_specs, "check_specs")
            assert (main(["check", *files, *form]), *capsys.readouterr()) == fresh


ASKING = {
    "exists", "glob", "is_dir", "is_file", "isdir", "isfile", "iterdir", "listdir", "open",
    "read_bytes", "read_text", "readlink", "realpath", "resolve", "rglob", "scandir", "stat",
}  # fmt: skip


def test_what_a_spec_makes_netspec_ask_is_asked_in_one_file() -> None:
    """Else an answer could stand though the file system has changed."""
    folders = ("source", "language", "ir", "checks", "emit", "ops")
    files = [file for name in folders for file in (ROOT / "netspec" / name).rglob("*.py")]
    files += [ROOT / "netspec" / name for name in ("find.py", "pipeline.py")]
    assert [found for file in files for found in _questions(file)] == [
        "find.py: Path(__file__).resolve()"
    ]


def _questions(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and not ast.unparse(node.func).startswith("file_trace."):
            is_method = isinstance(node.func, ast.Attribute) and node.func.attr in ASKING
            # Paths are resolved without an argument, names with one.
            if (is_method and not (node.func.attr == "resolve" and node.args)) or (
                isinstance(node.func, ast.Name) and node.func.id == "open"
            ):
                yield f"{file.name}: {ast.unparse(node)}"
