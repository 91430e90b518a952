"""`netspec new`: what is written is right, is tested, and takes nobody's place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import netspec
from netspec.cli import main


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "configs" / "model").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return sorted(path.relative_to(folder).as_posix() for path in found)


@pytest.mark.slow
def test_the_tests_that_are_written_pass(here: Path) -> None:
    assert main(["new", "mine"]) == main(["new", "my-net", "--from", "lenet"]) == 0
    assert main(["new", "deep", "--from", "resnet34"]) == main(["new", "g", "--from", "gpt"]) == 0
    command = [sys.executable, "-m", "pytest", "-q", "tests"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=here, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "12 passed" in done.stdout


def test_a_first_spec(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "mine"]) == 0
    out = capsys.readouterr().out
    assert "wrote configs/model/mine.yaml\nwrote tests/test_mine.py\n" in out
    assert files(here) == ["configs/model/mine.yaml", "netspec.schema.json", "tests/test_mine.py"]
    text = Path("configs/model/mine.yaml").read_text(encoding="utf-8")
    assert text.startswith(
        "# yaml-language-server: $schema=../../netspec.schema.json\nnetspec: 1\n"
    )
    assert not netspec.check("mine")
    assert "== 50_890" in Path("tests/test_mine.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "has"),
    [
        ("lenet", ["name: MyNet\n", "  conv1: {module: Conv2d,"]),
        ("vgg11", ["name: MyNet\n", 'spec: "vgg11"\n', "  num_classes: 1000\n", "  norm: false\n"]),
        ("char_gpt", ["name: MyNet\n"]),
    ],
)
def test_from_another_one(source: str, has: list[str]) -> None:
    assert main(["new", "my_net", "--from", source]) == 0
    text = Path("configs/model/my_net.yaml").read_text(encoding="utf-8")
    assert all(part in text for part in has) and text.count("$schema") == 1
    if source != "char_gpt":
        same = netspec.build("my_net", device="meta").state_dict()
        assert list(same) == list(netspec.build(source, device="meta").state_dict())
    else:
        test = Path("tests/test_my_net.py").read_text(encoding="utf-8")
        assert "ARGS = {'vocab_size': 100" in test


def test_a_path_and_no_folders(here: Path) -> None:
    (here / "own").mkdir()
    (here / "tests").rmdir()
    assert main(["new", "own/net.yaml"]) == 0
    assert main(["new", "own/other.yaml", "--from", "own/net.yaml"]) == 0
    assert {"own/net.yaml", "own/test_net.py", "own/other.yaml"} <= set(files(here))
    test = Path("own/test_net.py").read_text(encoding="utf-8")
    assert 'Path(__file__).parent / "net.yaml"' in test


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet"], "`lenet` is the name of"),
        (["3d"], "can't be a spec's name"),
        (["a b"], "can't be a spec's name"),
        (["a.txt"], "can't be a spec's name"),
        (["no/where.yaml"], "can't be written: no such file"),
        (["mine", "--from", "lenett"], "did you mean `lenet`"),
        (["mine", "--from", "\x1b[2J"], "there is no spec `<U+001B>[2J`"),
    ],
)
def test_wrong_names(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert files(here) == []


@pytest.mark.parametrize("there", ["configs/model/mine.yaml", "tests/test_mine.py"])
def test_nothing_is_overwritten(there: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(there).write_text("mine", encoding="utf-8")
    assert main(["new", "mine"]) == 2
    assert f"`{there}` is there already; nothing was written" in capsys.readouterr().err
    assert files(here) == [there] and Path(there).read_text(encoding="utf-8") == "mine"


def test_a_wrong_spec_is_nothing_to_begin_with(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.yaml").write_text("netspec: 1\ninputs: {x: [N]}\nlayers: {a: Linea}\n")
    assert main(["new", "mine", "--from", "bad.yaml"]) == 2
    err = capsys.readouterr().err
    assert "NS206" in err and "nothing was written" in err
    assert files(here) == ["bad.yaml"]
