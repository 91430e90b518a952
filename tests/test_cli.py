"""The commands about specs: exit statuses, what they print for people and for programs."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import netspec
from netspec.cli import main
from netspec.commands import parsers
from netspec.reporting.pages import read_pages
from netspec.reporting.terminal import look_of

ROOT = Path(__file__).resolve().parent.parent
GOOD = (
    "netspec: 1\nname: Net\ninputs: {x: [N, 4]}\nlayers:\n  fc: {module: Linear, out_features: 2}\n"
)
BAD = GOOD.replace("es: 2", "es: 2, biass: 1")
NEEDS = GOOD.replace("inputs", "args: {n: null}\ninputs").replace("features: 2", "features: =n")
BLOCKS = "netspec: 1\nblocks:\n  B: {layers: {a: ReLU}}\n"
HEAVY = ("torch", "hydra", "pydantic", "lightning", "numpy")

Said = tuple[int, str, str]


@pytest.fixture
def netspec_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> object:
    """Runs a command in a folder with a good spec, a bad one, blocks, and what is no spec."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "good.yaml": GOOD,
        "bad.yaml": BAD,
        "needs.yaml": NEEDS,
        "all/good.yml": GOOD,
        "all/deep/bad.yaml": BAD,
        "all/deep/blocks.yaml": BLOCKS,
        "all/run.yaml": "optimizer: {lr: 0.1}\n",
        "all/broken.yaml": "netspec: 1\nlayers: [\n",
        "all/.hidden/bad.yaml": BAD,
        "none/run.yaml": "a: 1\n",
    }.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")

    def says(*arguments: str, stdin: str = "") -> Said:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            status = main(arguments)
        except SystemExit as stop:
            status = int(stop.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return says


# check


def test_a_spec_that_is_fine(netspec_says) -> None:
    assert netspec_says("check", "good.yaml") == (0, "good.yaml: fine\n", "")
    assert netspec_says("check", "-", stdin=GOOD) == (0, "<stdin>: fine\n", "")
    status, out, _ = netspec_says("check", "lenet")
    assert (status, Path(out.removesuffix(": fine\n")).name) == (0, "lenet.yaml")


def test_a_spec_that_is_wrong(netspec_says) -> None:
    status, out, err = netspec_says("check", "bad.yaml")
    (diagnostic,) = netspec.check("bad.yaml")
    assert (status, out, err) == (1, f"{diagnostic}\n\nbad.yaml: 1 error\n", "")


def test_several_specs_have_one_verdict(netspec_says) -> None:
    assert netspec_says("check", "good.yaml", "good.yaml", "all/good.yml")[1] == "2 specs: fine\n"
    status, out, _ = netspec_says("check", "good.yaml", "bad.yaml")
    assert (status, out.splitlines()[-1]) == (1, "2 specs: 1 error in 1 of them")


def test_a_folder_is_all_specs_below_it(netspec_says) -> None:
    status, out, _ = netspec_says("check", "--json", "all")
    assert status == 1
    assert {one["file"] for one in json.loads(out)} == {
        os.path.join("all", "deep", "bad.yaml"), os.path.join("all", "broken.yaml"),
    }  # fmt: skip
    assert netspec_says("check", "all")[1].splitlines()[-1].startswith("4 specs: ")


def test_what_is_no_spec_is_told(netspec_says) -> None:
    given = ["none", "none/run.yaml", "gone.yaml", "lenett"]
    status, out, err = netspec_says("check", *given)
    assert (status, err) == (1, "")
    assert "there is no spec below the folder `none`" in out
    assert "error[NS202]" in out and "there is no file `gone.yaml`" in out
    assert "did you mean `lenet`" in out
    assert out.splitlines()[-1].endswith("in 4 of them")


def test_a_file_of_blocks_is_checked_as_it_stands(netspec_says) -> None:
    assert netspec_says("check", "all/deep/blocks.yaml")[:2] == (0, "all/deep/blocks.yaml: fine\n")
    Path("wrong.yaml").write_text(BLOCKS.replace("a: ReLU", "a: {modul: ReLU}"), encoding="utf-8")
    status, out, _ = netspec_says("check", "wrong.yaml")
    assert status == 1 and "--> wrong.yaml:3:" in out and "host" not in out


def test_a_mistake_in_an_include_is_told_once(netspec_says) -> None:
    Path("wrong.yaml").write_text(BLOCKS.replace("a: ReLU", "a: {modul: ReLU}"), encoding="utf-8")
    for name in ("one.yaml", "two.yaml"):
        Path(name).write_text(f"{GOOD}include: wrong.yaml\n", encoding="utf-8")
    found = json.loads(netspec_says("check", "--json", "one.yaml", "two.yaml", "wrong.yaml")[1])
    assert [one["file"] for one in found] == ["wrong.yaml"]


def test_args_and_changes_have_their_place(netspec_says) -> None:
    status, out, _ = netspec_says("check", "needs.yaml")
    assert status == 1 and "help: give --arg n=…" in out
    assert netspec_says("check", "needs.yaml", "--arg", "n=3")[0] == 0
    _, out, _ = netspec_says("check", "needs.yaml", "--arg", "n=3", "--arg", "m=1")
    assert "\n --> from --arg m=1\n" in out
    _, out, _ = netspec_says("check", "needs.yaml", "--arg", "n=three")
    assert "note: given: --arg n=three" in out
    _, out, _ = netspec_says("check", "good.yaml", "--set", "layers.fc.biass=false")
    assert "\n --> from the override layers.fc.biass=false\n" in out
    assert netspec_says("check", "-", "--set", "layers.fc.bias=false", stdin=GOOD)[0] == 0
    assert netspec_says("check", "good.yaml", "--set", "+layers.act={act: relu}")[0] == 0


def test_an_arg_goes_to_the_specs_that_have_it(netspec_says) -> None:
    assert netspec_says("check", "good.yaml", "needs.yaml", "--arg", "n=3")[0] == 0
    status, out, _ = netspec_says("check", "good.yaml", "needs.yaml", "--arg", "k=3")
    assert status == 1 and "note: in `good.yaml`" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "good.yaml", "--jsn"],
        ["check", "good.yaml", "--json", "--sarif"],
        ["check", "good.yaml", "--arg", "n"],
        ["check", "good.yaml", "--arg", "n=[1"],
        ["check", "good.yaml", "--set", "layers.fc.bias"],
        ["check", "good.yaml", "--act", "functionall"],
        ["show", "good.yaml", "--size", "N=many"],
        ["show", "good.yaml", "--depth", "0"],
        ["show", "good.yaml", "--program", "--json"],
        ["show", "good.yaml", "--program", "--depth", "1"],
        ["show", "good.yaml", "--program", "--size", "N=3"],
        ["show", "good.yaml", "bad.yaml"],
        ["export", "good.yaml", "--json"],
        ["explain", "NS999x"],
        ["chek"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_is_told_on_stderr(netspec_says, arguments: Sequence[str]) -> None:
    status, out, err = netspec_says(*arguments)
    assert (status, out) == (2, "") and err


def test_near_names_of_commands(netspec_says) -> None:
    assert netspec_says("chek")[2] == "there is no command `chek`; did you mean `check`?\n"
    assert "netspec train" in netspec_says("frobnicate")[2]
    assert "<U+001B>" in netspec_says("\x1b[2J")[2]


# For programs


def test_json_has_places_in_characters(netspec_says) -> None:
    text = GOOD.replace("fc: {module", 'fc: {doc: "日本\\t😀", module').replace(
        "es: 2", "es: 2, biass: 1"
    )
    Path("wide.yaml").write_text(text, encoding="utf-8")
    (found,) = json.loads(netspec_says("check", "--json", "wide.yaml")[1])
    column = text.splitlines()[4].index("biass") + 1
    assert found == {
        "file": "wide.yaml",
        "code": "NS203",
        "message": "`Linear` has no argument `biass`",
        "line": 5,
        "column": column,
        "endLine": 5,
        "endColumn": column + 5,
        "notes": [],
        "help": "did you mean `bias`?",
        "severity": "error",
        "page": "errors/NS203.md",
        "related": [],
        "fixes": [
            {
                "title": "write `bias`",
                "line": 5,
                "column": column,
                "endLine": 5,
                "endColumn": column + 5,
                "replacement": "bias",
            }
        ],
    }


def test_json_of_what_has_no_line(netspec_says) -> None:
    assert json.loads(netspec_says("check", "--json", "good.yaml")[1]) == []
    (found,) = json.loads(netspec_says("check", "--json", "gone.yaml")[1])
    assert (found["file"], found["line"], found["endColumn"], found["notes"]) == (
        "gone.yaml", None, None, [],
    )  # fmt: skip
    (found,) = json.loads(netspec_says("check", "--json", "good.yaml", "--set", "layers.g.a=1")[1])
    assert (found["file"], found["line"]) == ("good.yaml", None)
    assert found["notes"] == ["from the override layers.g.a=1"]


def test_json_is_ascii(netspec_says) -> None:
    assert netspec_says("check", "--json", "\x9b\u202e.yaml")[1].isascii()


def sarif_of(text: str) -> tuple[Mapping[str, object], list[dict[str, object]]]:
    """The driver and the results of a SARIF log, after what every log has to have."""
    log = json.loads(text)
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    assert run["columnKind"] == "unicodeCodePoints"
    return run["tool"]["driver"], run["results"]


def test_sarif(netspec_says) -> None:
    Path("a b").mkdir()
    Path("a b/ü{.yaml").write_text(GOOD.replace("es: 2", "es: 2, biass: 1"), encoding="utf-8")
    status, out, _ = netspec_says("check", "--sarif", "a b/ü{.yaml")
    driver, (result,) = sarif_of(out)
    assert status == 1
    assert (driver["name"], driver["version"]) == ("netspec", netspec.__version__)
    rules = driver["rules"]
    assert [rule["id"] for rule in rules] == list(read_pages())
    rule = rules[result["ruleIndex"]]
    assert rule["id"] == result["ruleId"] == "NS203"
    assert rule["shortDescription"]["text"] == "an unknown argument"
    assert rule["helpUri"].startswith("file:///") and rule["helpUri"].endswith("NS203.md")
    assert rule["help"]["markdown"].startswith("# NS203") and rule["help"]["text"]
    assert result["level"] == "error"
    assert result["message"] == {
        "text": "`Linear` has no argument `biass`\nhelp: did you mean `bias`?"
    }
    (location,) = result["locations"]
    column = len("  fc: {module: Linear, out_features: 2, ") + 1
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b/%C3%BC%7B.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {
            "startLine": 5, "startColumn": column, "endLine": 5, "endColumn": column + 5,
        },
    }  # fmt: skip


def test_sarif_without_a_line_or_a_mistake(netspec_says) -> None:
    assert sarif_of(netspec_says("check", "--sarif", "good.yaml")[1])[1] == []
    out = netspec_says("check", "--sarif", "good.yaml", "--arg", "a={b: c}")[1]
    (result,) = sarif_of(out)[1]
    assert "note: from --arg a={{b: c}}" in result["message"]["text"]
    location = result["locations"][0]["physicalLocation"]
    assert location == {"artifactLocation": {"uri": "good.yaml", "uriBaseId": "%SRCROOT%"}}


def test_sarif_of_a_file_elsewhere(netspec_says, tmp_path: Path) -> None:
    os.chdir(tmp_path / "none")
    (result, *_) = sarif_of(netspec_says("check", "--sarif", "../bad.yaml")[1])[1]
    artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact == {"uri": (tmp_path / "bad.yaml").as_uri()}


# explain


def test_explain_prints_the_page(netspec_says) -> None:
    page = (ROOT / "docs" / "errors" / "NS301.md").read_text(encoding="utf-8")
    for code in ("NS301", "ns301", "301"):
        assert netspec_says("explain", code) == (0, page, "")


def test_explain_lists_all_codes(netspec_says) -> None:
    out = netspec_says("explain")[1]
    pages = sorted((ROOT / "docs" / "errors").glob("NS*.md"))
    assert [line[:5] for line in out.splitlines() if line] == [page.stem for page in pages]
    assert "NS203  an unknown argument\n" in out


@pytest.mark.parametrize(
    ("given", "near"), [("NS399", "NS3"), ("399", "NS3"), ("NS2033", "NS203"), ("S203", "NS203")]
)
def test_explain_offers_near_codes(netspec_says, given: str, near: str) -> None:
    status, _, err = netspec_says("explain", given)
    assert status == 2 and f"there is no code `{given}`; did you mean {near}" in err


def test_explain_on_a_terminal(netspec_says, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = netspec_says("explain", "301")[1]
    assert out.startswith("\x1b[1mNS301: shapes and types that do not fit\x1b[0m\n\nAn operation")
    assert "```" not in out and "**" not in out and "](" not in out
    assert "\n    \x1b[36mnetspec: 1\x1b[0m\n" in out


def test_explain_finds_the_pages_of_a_wheel(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "netspec", tmp_path / "netspec", ignore=lambda _, names: ["run"])
    shutil.copytree(ROOT / "docs" / "errors", tmp_path / "netspec" / "docs" / "errors")
    code = (
        "import netspec.cli, sys; netspec.cli.main(['explain', '203']); print(netspec.cli.__file__)"
    )
    out = in_python(code, tmp_path)
    assert out.startswith("# NS203: ") and out.strip().endswith(str(tmp_path / "netspec/cli.py"))


def in_python(code: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-P" if sys.version_info >= (3, 11) else "-B", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=folder, env=environment
    )
    return done.stdout


# show, export, schema


def test_show(netspec_says) -> None:
    status, out, _ = netspec_says("show", "good.yaml", "--size", "N=64")
    assert status == 0
    assert out.splitlines()[2].split() == [
        "fc",
        "Linear",
        "[N,",
        "2]",
        "10",
        "1.02",
        "k",
        "1.00",
        "KiB",
    ]
    assert "at N = 64" in out


def test_show_json_folds_rows(netspec_says) -> None:
    deep = json.loads(netspec_says("show", "resnet18", "--json")[1])
    flat = json.loads(netspec_says("show", "resnet18", "--json", "--depth", "1")[1])
    assert {row["depth"] for row in flat["rows"]} == {0}
    assert len(flat["rows"]) < len(deep["rows"])
    assert flat["flops"] == deep["flops"] == sum(row["flops"] for row in flat["rows"])


def test_show_program(netspec_says) -> None:
    assert netspec_says("show", "good.yaml", "--program", "--set", "layers.act={act: relu}") == (
        0,
        """\
program Net(%x: [N, 4])  # good.yaml
  probe eval, N=2
  probe eval, N=3
  model = nn.Sequential  # line 1
    fc = nn.Linear(4, 2)  # line 5
    act = nn.ReLU() {activation}  # from the override layers.act={act: relu}
""",
        "",
    )
    assert netspec_says("show", "bad.yaml", "--program")[:2] == (1, "")


def test_show_tells_what_is_wrong_on_stderr(netspec_says) -> None:
    for arguments in (["bad.yaml"], ["good.yaml", "--size", "M=3"], ["gone.yaml"]):
        status, out, err = netspec_says("show", *arguments)
        assert (status, out) == (1, "") and err.startswith("error[NS")


def test_show_is_safe_on_a_terminal(netspec_says) -> None:
    text = GOOD + "  add: \"=fc + len('\\e[2J日本')\"\n"
    status, out, err = netspec_says("show", "-", stdin=text)
    assert status == 0, err
    assert "\x1b" not in out and "<U+001B>[2J日本" in out


def test_export(netspec_says) -> None:
    assert netspec_says("export", "good.yaml") == (0, netspec.to_python("good.yaml"), "")
    assert netspec_says("export", "good.yaml", "-o", "out.py")[:2] == (0, "wrote out.py\n")
    written = Path("out.py").read_text(encoding="utf-8")
    assert written == netspec.to_python("good.yaml")
    changed = ["export", "good.yaml", "--set", "layers.fc.out_features=3", "-o", "out.py"]
    status, _, err = netspec_says(*changed)
    assert (status, err) == (2, "`out.py` is there already; --force overwrites it\n")
    assert Path("out.py").read_text(encoding="utf-8") == written
    assert netspec_says(*changed, "--force")[0] == 0
    assert "Linear(4, 3)" in Path("out.py").read_text(encoding="utf-8")
    status, _, err = netspec_says("export", "good.yaml", "-o", "nowhere/out.py")
    assert (status, err) == (2, "`nowhere/out.py` cannot be written: no such file or directory\n")
    status, out, err = netspec_says("export", "bad.yaml", "-o", "bad.py")
    assert (status, out) == (1, "") and "error[NS203]" in err and not Path("bad.py").exists()


def test_schema(netspec_says) -> None:
    pytest.importorskip("netspec.view.json_schema", reason="no schema in this version")
    status, out, _ = netspec_says("schema")
    assert status == 0 and "$schema" in json.loads(out)
    assert netspec_says("schema", "-o", "schema.json")[1] == "wrote schema.json\n"
    assert json.loads(Path("schema.json").read_text(encoding="utf-8")) == json.loads(out)


# Help, and what it costs


def test_help_and_version(netspec_says) -> None:
    status, out, _ = netspec_says("--help")
    assert (status, netspec_says()[1]) == (0, out)
    for command in ("check", "show", "export", "explain", "schema"):
        assert f"\n  netspec {command} " in out
        status, help, _ = netspec_says(command, "--help")
        assert status == 0 and help.startswith(f"usage: netspec {command} ")
        assert getattr(parsers, f"{command}_parser")().prog == f"netspec {command}"
    assert netspec_says("--version") == (0, f"netspec {netspec.__version__}\n", "")


@pytest.mark.parametrize("command", ["--help", "--version", "chek", "explain 203", "check --help"])
def test_light_commands_import_nothing_heavy(command: str) -> None:
    code = f"""
import sys
from netspec.cli import main
try:
    main({command.split()!r})
except SystemExit:
    pass
print("loaded", *(name for name in {HEAVY!r} if name in sys.modules))
"""
    assert in_python(code, ROOT).splitlines()[-1] == "loaded"


# The terminal


class Screen(io.StringIO):
    """A stream that is a terminal, or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("terminal", "environment", "width", "colour"),
    [
        (True, {}, 80, True),
        (False, {}, None, False),
        (True, {"NO_COLOR": "1"}, 80, False),
        (True, {"TERM": "dumb"}, 80, False),
        (False, {"FORCE_COLOR": "1"}, None, True),
        (True, {"TERM": "dumb", "FORCE_COLOR": "1"}, 80, True),
        (True, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, 80, False),
        (True, {"NO_COLOR": ""}, 80, True),
    ],
)
def test_the_look_of_a_stream(
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    environment: Mapping[str, str],
    width: int | None,
    colour: bool,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    look = look_of(Screen(terminal))
    assert (look.width, look.colour) == (width, colour)


def test_on_a_real_terminal(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="no pseudo-terminals here")
    import fcntl
    import struct
    import termios

    path = tmp_path / "bad.yaml"
    path.write_text(f"{BAD.rstrip()}  # {'very ' * 40}long\n", encoding="utf-8")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    code = "import sys; from netspec.cli import main; sys.exit(main(['check', 'bad.yaml']))"
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=theirs, cwd=tmp_path, env=environment
    ) as process:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:  # Linux's way to say that the other end is closed
            pass
    os.close(ours)
    text = said.decode().replace("\r\n", "\n")
    assert process.returncode == 1
    assert "\x1b[1;31merror[NS20" in text
    (line, *_) = [line for line in text.splitlines() if "biass: 1" in line]
    assert line.endswith("…")
