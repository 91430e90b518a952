"""`netspec list`: every spec that has a name, with its parameters, inputs and what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import netspec
from netspec import find
from netspec.cli import main
from netspec.commands import parameter_index
from netspec.display import Look, columns

MODELS = Path(__file__).parents[1] / "configs" / "model"


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    assert main(["list", "--json"]) == 0
    return {spec["name"]: spec for spec in json.loads(capsys.readouterr().out)["specs"]}


def test_each_spec_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    specs = listed(capsys)
    assert list(specs) == find.spec_names() and {"lenet", "resnet34", "bert"} <= set(specs)
    assert all(spec["doc"] and spec["inputs"] for spec in specs.values())
    assert specs["lenet"]["parameters"] == 44_426
    assert specs["resnet34"]["inputs"] == {"x": ["N", 3, "H", "W"]}
    assert specs["char_gpt"]["parameters"] is None  # its args have no defaults


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (row,) = (line for line in lines if line.startswith("resnet34 "))
    assert row.split("  ")[-1].strip() == "ResNet-34, keys as in torchvision."
    assert "21,797,672  x [N, 3, H, W]" in row


def test_a_filter(capsys: pytest.CaptureFixture[str]) -> None:
    def names(sought: str) -> set[str]:
        assert main(["list", sought, "--json"]) == 0
        return {spec["name"] for spec in json.loads(capsys.readouterr().out)["specs"]}

    assert names("swin") == names("swin*") == {"swin_t", "swin_v2_t"}
    assert names("SWIN-T") == {"swin_t"}  # which its words say
    assert "resnet18" in names("resnet1*") and "wide_resnet50_2" not in names("resnet*")
    assert main(["list", "\x1bnone"]) == 1
    assert capsys.readouterr() == ("", "nothing has `<U+001B>none` in its name or words\n")


def test_a_terminal_of_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netspec.commands.listing.look_of", lambda _: Look(80))
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(columns, lines)) <= 80
    (row,) = (line for line in lines if line.startswith("resnet34 "))
    assert "21.8 M  x [N, 3, H, W]" in row and "ResNet-34, keys as" in row


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("mine", "did you mean `mine.yaml`?"),
        ("mime", "did you mean `mine.yaml`?"),
        ("resnet19", "did you mean `resnet18` or `resnet152`?"),
        ("my_lenet", "did you mean `my_lenet.yml` or `lenet`?"),
    ],
)
def test_files_that_are_near_come_first(
    name: str, help: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("mine.yaml", "my_lenet.yml", "notes.txt"):
        (tmp_path / file).write_text("netspec: 1\n", encoding="utf-8")
    with pytest.raises(netspec.SpecError) as caught:
        netspec.build(name)
    assert caught.value.diagnostics[0].help == help


def test_at_most_eight_names_are_offered() -> None:
    with pytest.raises(netspec.SpecError) as caught:
        netspec.build("zzzzzz")
    help = caught.value.diagnostics[0].help
    assert help is not None and help.count(",") == 7
    assert help.endswith(f"and {len(find.spec_names()) - 8} more; `netspec list` tells all")


def test_the_index_is_of_these_specs() -> None:
    """Else `python scripts/index_models.py`; without a right index `netspec list` takes seconds."""
    index = json.loads((MODELS / parameter_index.INDEX).read_text(encoding="utf-8"))
    assert index["digest"] == parameter_index.digest_of(MODELS)


@pytest.mark.parametrize("name", ["lenet", "resnet34", "vgg19_bn", "t5", "char_gpt"])
def test_the_index_is_right(name: str) -> None:
    file = find.path_of(name)
    assert parameter_index.parameters_of([file]) == {file: parameter_index.count(file)}


def test_an_index_that_is_not_of_these_specs_is_not_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "configs" / "model"
    models.mkdir(parents=True)
    (models / "mine.yaml").write_text("netspec: 1\nspec: lenet\nargs: {num_classes: 3}\n")
    (models / "index.json").write_text('{"digest": "0", "parameters": {"mine": 7}}')
    monkeypatch.chdir(tmp_path)
    assert listed(capsys)["mine"]["parameters"] == 43_831
    (models / "index.json").write_text(
        json.dumps({"digest": parameter_index.digest_of(models), "parameters": {"mine": 7}})
    )
    assert listed(capsys)["mine"]["parameters"] == 7


def test_a_spec_that_is_wrong_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs" / "model").mkdir(parents=True)
    (tmp_path / "configs" / "model" / "wrong.yaml").write_text("netspec: [")
    monkeypatch.chdir(tmp_path)
    assert listed(capsys)["wrong"]["parameters"] is None
