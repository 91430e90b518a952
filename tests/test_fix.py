"""`check --fix` and `--diff`: what is mended, what is not, and what becomes of the file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from netspec.cli import main
from netspec.commands import fix

WRONG = """\
# a comment that stays
netspec: 1
inputs: {x: [N, 3, 8, 8]}

layers:
  conv:   {module: Conv2d, out_channels: 4, kernal_size: 3}   # aligned,  too
  act:    {act: Relu}
  other: {module: Conv2d, out_chanels: 4, kernel_size: 3}
  flat: {call: flatten, start_dim: 1}
  fc: {module: Linear, in_features: 7, out_features: 2}
"""
MENDED = WRONG.replace("kernal", "kernel").replace("Relu", "relu").replace("chanels", "channels")


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(WRONG, encoding="utf-8")
    return path


def test_what_is_certain_is_mended_and_the_rest_is_told(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec.chmod(0o640)
    assert main(["check", "mine.yaml", "--fix"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("--- mine.yaml\n+++ mine.yaml\n@@ ")
    assert "-  act:    {act: Relu}\n" in out and "+  act:    {act: relu}\n" in out
    assert "mended 3 mistakes in mine.yaml\n\nerror[NS301]" in out
    assert out.endswith("mine.yaml: 1 error\n")
    assert spec.read_text(encoding="utf-8") == MENDED  # comments, blanks and sizes as they were
    assert stat.S_IMODE(spec.stat().st_mode) == 0o640
    assert [path.name for path in spec.parent.iterdir()] == ["mine.yaml"]
    assert main(["check", "mine.yaml", "--fix"]) == 1
    assert capsys.readouterr().out.startswith("error[NS301]")


def test_a_diff_alone_changes_nothing(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "mine.yaml", "--diff"]) == 1
    out = capsys.readouterr().out
    assert out.count("\n-") == 3 and "error" not in out and "mended" not in out
    assert spec.read_text(encoding="utf-8") == WRONG
    spec.write_text(MENDED.replace("in_features: 7, ", ""), encoding="utf-8")
    assert main(["check", "mine.yaml", "--diff"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
@pytest.mark.parametrize("bom", ["\ufeff", ""])
def test_bytes_stay_as_they_were(spec: Path, ends: str, bom: str) -> None:
    spec.write_bytes((bom + WRONG).replace("\n", ends).encode())
    assert main(["check", "mine.yaml", "--fix"]) == 1
    assert spec.read_bytes() == (bom + MENDED).replace("\n", ends).encode()


def test_no_guess_is_made(tmp_path: Path) -> None:
    text = (
        "netspec: 1\ninputs: {x: [N, 8]}\nlayers:\n  fc1: {module: Linear, out_features: 8}\n"
        "  fc2: {module: Linear, out_features: 8, from: x}\n  sum: =fc + x\n"
        "outputs: [fc1, fc2, sum]\n"
    )
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    assert main(["check", str(path), "--fix"]) == 1
    assert path.read_text(encoding="utf-8") == text


def test_what_is_overwritten_is_left_out(tmp_path: Path) -> None:
    text = (
        "netspec: 1\ninputs: {x: [N, 8]}\nlayers:\n  relu:\n    module: ReLU\n"
        "    inplace: true\n  fc: {module: Linear, out_features: 8}\n"
    )
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    assert main(["check", str(path), "--fix"]) == 0
    assert path.read_text(encoding="utf-8") == text.replace("    inplace: true\n", "")


def test_a_folder_and_a_file_of_blocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "blocks.yaml").write_text(
        "netspec: 1\nblocks:\n  A:\n    layers: {fc: {module: Linear, out_feature: 2}}\n"
    )
    user = "netspec: 1\ninclude: blocks.yaml\ninputs: {x: [N, 8]}\nlayers: [{block: A}]\n"
    (tmp_path / "user.yaml").write_text(user)
    assert main(["check", str(tmp_path / "user.yaml"), "--fix"]) == 1  # another file stays
    assert "out_feature:" in (tmp_path / "blocks.yaml").read_text()
    assert main(["check", str(tmp_path), "--fix"]) == 0
    assert "out_features: 2" in (tmp_path / "blocks.yaml").read_text()
    assert (tmp_path / "user.yaml").read_text() == user
    assert "2 specs: fine" in capsys.readouterr().out


def test_a_file_that_was_changed_meanwhile_is_left(
    spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = fix.write

    def slow(file: fix.Edited) -> None:
        spec.write_text("netspec: 1\n# mine\n", encoding="utf-8")
        original(file)

    monkeypatch.setattr("netspec.commands.fix_files.write", slow)
    assert main(["check", "mine.yaml", "--fix"]) == 2
    assert "changed meanwhile" in capsys.readouterr().err
    assert spec.read_text(encoding="utf-8") == "netspec: 1\n# mine\n"
    assert [path.name for path in spec.parent.iterdir()] == ["mine.yaml"]


@pytest.mark.skipif(os.name == "nt", reason="symlinks and modes of POSIX")
def test_a_link_stays_a_link(spec: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(spec)
    assert main(["check", "link.yaml", "--fix"]) == 1
    assert link.is_symlink() and spec.read_text(encoding="utf-8") == MENDED


def test_wrong_use(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for pair in (["--fix", "--json"], ["--fix", "--diff"], ["--diff", "--sarif"]):
        with pytest.raises(SystemExit):
            main(["check", "mine.yaml", *pair])
    assert "not allowed with argument" in capsys.readouterr().err
    (spec.parent / "bad.yaml").write_bytes(b"netspec: 1\n\xff")
    assert main(["check", "bad.yaml", "--fix"]) == 2
    assert "`bad.yaml` is not mended" in capsys.readouterr().err
