"""Plugins: loaded and enabled by whoever builds, by name, and by nothing else."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch

import netspec
from netspec import plugins
from netspec.cli import main
from netspec.ops import registry
from tests.registration.conftest import OWN

SPEC = """\
netspec: 1
name: Net
requires: [mylib]
inputs: {x: [N, 4]}
layers:
  fc: {module: Linear, out_features: 4}
  a: {call: mylib/shift, by: 2}
"""
LAYERS = """\
import netspec

@netspec.register("mylib/shift")
def shift(x, by: float = 1.0):
    '''Adds a number.'''
    return x + by
"""
NOT_ENABLED = """\
error[NS219]: `mylib` is required, and is not enabled
 --> <string>:3:12
3 | requires: [mylib]
  |            ^^^^^
  = help: enable it, if you have it and trust it: plugins=[mylib] in a run or in Python, \
--plugin mylib elsewhere"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, which is not on Python's path."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "mylib.py") -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")


def installed(
    here: Path, monkeypatch: pytest.MonkeyPatch, entries: str, name: str = "mylib-layers"
) -> Path:
    """A folder on Python's path, as an installed distribution leaves it."""
    site = here / f"site_of_{name}"
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[netspec.layers]\n{entries}\n")
    monkeypatch.syspath_prepend(site)
    return site


def refusal(*names: str) -> str:
    """What is said where these plugins are enabled, without the code and the place."""
    with pytest.raises(netspec.SpecError) as caught:
        netspec.build("lenet", plugins=names, device="meta")
    assert {found.code for found in caught.value.diagnostics} == {"NS220"}
    return "\n\n".join(map(str, caught.value.diagnostics))


# A module


def test_a_module_of_the_working_folder() -> None:
    write(LAYERS)
    spec = netspec.loads(SPEC)
    assert "\n\n".join(map(str, netspec.check(spec))) == NOT_ENABLED
    assert "mylib" not in sys.modules
    assert netspec.check(spec, plugins=["mylib"]) == ()
    model = netspec.build(spec, plugins=["mylib"], seed=0)
    x = torch.ones(2, 4)
    assert torch.equal(model(x), model.fc(x) + 2)


def test_it_is_enabled_for_one_call_alone() -> None:
    write(LAYERS)
    spec = netspec.loads(SPEC)
    netspec.build(spec, plugins=["mylib"])
    assert "\n\n".join(map(str, netspec.check(spec))) == NOT_ENABLED.replace(
        ", if you have it and trust it", ""
    )
    netspec.build(spec, plugins=["mylib"])


def test_without_requires_the_help_names_the_plugin() -> None:
    write(LAYERS)
    spec = netspec.loads(SPEC.replace("requires: [mylib]\n", ""))
    (found,) = netspec.check(spec)
    assert (found.code, found.help) == (
        "NS206", "no plugin that is enabled has layers of `mylib`",
    )  # fmt: skip
    netspec.build(spec, plugins=["mylib"])
    (found,) = netspec.check(spec)
    assert found.help == "the plugin `mylib` has it, and is not enabled here"


def test_a_module_of_a_package() -> None:
    write("", "things/__init__.py")
    write(LAYERS, "things/layers.py")
    netspec.build(netspec.loads(SPEC), plugins=["things.layers"])


def test_the_working_folder_hides_no_package() -> None:
    """It comes last: a file here that is called like a package of Python's is not it."""
    write("raise RuntimeError('this was imported')", "json.py")
    write("raise RuntimeError('this was imported')", "wave.py")
    assert "the plugin `json` registers no layers" in refusal("json")
    assert "the plugin `wave` registers no layers" in refusal("wave")


def test_layers_that_were_registered_by_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program imported itself is there, and its name may be given as a plugin, too."""
    write(LAYERS)
    monkeypatch.syspath_prepend(Path.cwd())
    __import__("mylib")
    assert netspec.check(netspec.loads(SPEC)) == ()
    assert netspec.check(netspec.loads(SPEC), plugins=["mylib"]) == ()


# An installed package


def test_an_entry_point(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = installed(here, monkeypatch, "mylib = mylib_of_theirs.layers")
    write(LAYERS, str(site / "mylib_of_theirs" / "layers.py"))
    assert netspec.check(netspec.loads(SPEC)) != ()
    assert list(plugins.installed()) == ["mylib"]
    assert not [name for name in sys.modules if name.startswith("mylib")]
    netspec.build(netspec.loads(SPEC), plugins=["mylib"])
    assert "mylib_of_theirs.layers" in sys.modules


def test_an_entry_point_that_is_a_function(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = installed(here, monkeypatch, "mylib = mylib_of_theirs:offer")
    text = "import netspec\n\ndef shift(x, by: float = 1.0):\n    return x + by\n\n"
    registered = "def offer():\n    netspec.register(shift, 'mylib/shift')\n"
    write(text + registered, str(site / "mylib_of_theirs.py"))
    netspec.build(netspec.loads(SPEC), plugins=["mylib"])


def test_an_entry_point_comes_before_a_module(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = installed(here, monkeypatch, "mylib = mylib_of_theirs")
    write(LAYERS, str(site / "mylib_of_theirs.py"))
    write("raise RuntimeError('this was imported')", "mylib.py")
    netspec.build(netspec.loads(SPEC), plugins=["mylib"])


def test_nothing_is_loaded_by_being_installed(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = installed(here, monkeypatch, "mylib = mylib_of_theirs")
    write("raise RuntimeError('this was imported')", str(site / "mylib_of_theirs.py"))
    write(SPEC, "net.yaml")
    netspec.check("net.yaml")
    assert main(["check", "net.yaml"]) == 1
    assert main(["list"]) == 0
    assert "mylib   mylib-layers  not enabled" in capsys.readouterr().out
    assert "mylib_of_theirs" not in sys.modules
    assert len(entry_points(group="netspec.layers")) == 1


# What cannot be loaded


def test_a_plugin_that_is_not_there() -> None:
    assert refusal("mylip") == (
        "error[NS220]: there is no plugin `mylip`\n"
        " --> from plugins=['mylip']\n"
        "  = help: no installed package offers one; a module in the working folder, or of a "
        "package, is one too"
    )
    write(LAYERS)
    assert refusal("mylip").endswith("  = help: did you mean `mylib`?")


@pytest.mark.parametrize(
    "name", ["", ".", "../mylib", "mylib.py", "a/b", "/etc/passwd", "mylib:offer", "my lib", "a;b"]
)
def test_names_that_are_none(name: str) -> None:
    write(LAYERS)
    said = refusal(name)
    if name == "mylib.py":
        assert "the plugin `mylib.py` cannot be loaded: ModuleNotFoundError" in said
        return
    assert said == (
        f"error[NS220]: `{name}` is no plugin's name\n"
        f" --> from plugins=[{name!r}]\n"
        "  = help: write `mylib`, or `mylib.layers`"
    )


def test_a_plugin_that_fails_at_import(here: Path) -> None:
    write("import netspec\n\nraise ValueError('no license\\nin this folder')\n")
    assert refusal("mylib") == (
        "error[NS220]: the plugin `mylib` cannot be loaded: ValueError: no license\n"
        " --> from plugins=['mylib']\n"
        f"  = note: at {here / 'mylib.py'}:3"
    )
    write("import no_such_package\n", "broken.py")
    assert refusal("broken") == (
        "error[NS220]: the plugin `broken` cannot be loaded: ModuleNotFoundError: No module named "
        "'no_such_package'\n"
        " --> from plugins=['broken']\n"
        f"  = note: at {here / 'broken.py'}:1"
    )


def test_a_plugin_that_failed_can_be_mended() -> None:
    """What a failed import registered is not in the way of the next one."""
    write(f"{LAYERS}\nraise ValueError('later')\n")
    assert "ValueError: later" in refusal("mylib")
    write(LAYERS)
    netspec.build(netspec.loads(SPEC), plugins=["mylib"])


def test_a_plugin_whose_layer_is_refused(here: Path) -> None:
    write("import netspec\n\n@netspec.register\ndef relu(x):\n    return x\n")
    assert refusal("mylib") == (
        "error[NS220]: the plugin `mylib` cannot be loaded: ValueError: `relu` is "
        "`torch.nn.functional.relu` already: give it a namespace, like `mylib/relu`\n"
        " --> from plugins=['mylib']\n"
        f"  = note: at {here / 'mylib.py'}:3"
    )


def test_a_syntax_error(here: Path) -> None:
    write("import netspec\ndef (\n")
    said = refusal("mylib")
    assert "the plugin `mylib` cannot be loaded: SyntaxError: invalid syntax" in said


def test_an_entry_point_that_leads_nowhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = installed(here, monkeypatch, "mylib = mylib_of_theirs:offer")
    write("", str(site / "mylib_of_theirs.py"))
    assert "the plugin `mylib` cannot be loaded: AttributeError" in refusal("mylib")


def test_a_plugin_that_registers_nothing() -> None:
    write("import netspec\n")
    assert refusal("mylib") == (
        "error[NS220]: the plugin `mylib` registers no layers\n"
        " --> from plugins=['mylib']\n"
        "  = help: it calls `netspec.register` where it is imported"
    )


def test_this_program_registers_a_name_after_the_plugin() -> None:
    def shift(x: torch.Tensor, by: float = 1.0) -> torch.Tensor:
        return x - by

    write(LAYERS)
    netspec.build(netspec.loads(SPEC), plugins=["mylib"])
    netspec.register(shift, "mylib/shift")
    said = "the plugin `mylib` and this program itself both register `mylib/shift`"
    assert said in refusal("mylib")


def test_two_plugins_with_one_name() -> None:
    write(LAYERS)
    write(LAYERS, "another.py")
    assert refusal("mylib", "another") == (
        "error[NS220]: the plugin `another` and the plugin `mylib` both register `mylib/shift`\n"
        " --> from plugins=['another']\n"
        "  = help: enable one of them, or register under a namespace: `mylib/Name`"
    )
    for one in ("mylib", "another"):
        netspec.build(netspec.loads(SPEC.replace("[mylib]", f"[{one}]")), plugins=[one])


def test_a_plugin_and_this_program_with_one_name() -> None:
    def shift(x: torch.Tensor, by: float = 1.0) -> torch.Tensor:
        return x - by

    netspec.register(shift, "mylib/shift")
    write(LAYERS)
    said = (
        "the plugin `mylib` cannot be loaded: ValueError: `mylib/shift` is registered already, by"
    )
    assert said in refusal("mylib")
    assert netspec.check(netspec.loads(SPEC)) == ()  # the namespace is there


def test_all_that_is_wrong_is_told_at_once() -> None:
    said = refusal("no_such_one", "a/b")
    assert "there is no plugin `no_such_one`" in said and "`a/b` is no plugin's name" in said


# What a spec says that it needs


@pytest.mark.parametrize("need", ["os", "mylib.py", "../mylib", "/tmp/mylib", "__main__", "sys"])
def test_requires_imports_nothing(need: str) -> None:
    write("raise RuntimeError('this was imported')")
    before = set(sys.modules)
    (found,) = netspec.check(netspec.loads(SPEC.replace("mylib]", f"{json.dumps(need)}]", 1)))
    assert (found.code, found.fact, found.span.line) == (
        "NS219", f"`{need}` is required, and is not enabled", 3,
    )  # fmt: skip
    assert set(sys.modules) == before


def test_requires_of_a_file_that_is_included() -> None:
    write(LAYERS)
    write("netspec: 1\nrequires: [mylib]\nblocks: {B: {layers: [mylib/shift]}}\n", "b.yaml")
    write("netspec: 1\ninclude: b.yaml\ninputs: {x: [N, 4]}\nlayers: {b: B}\n", "net.yaml")
    text = Path("net.yaml").read_text().replace("{b: B}", "{b: {block: B}}")
    write(text, "net.yaml")
    (found,) = netspec.check("net.yaml")
    assert (found.code, Path(found.span.file).name, found.span.line) == ("NS219", "b.yaml", 2)
    assert netspec.check("net.yaml", plugins=["mylib"]) == ()


def test_requires_of_a_part() -> None:
    write(LAYERS)
    write(SPEC, "part.yaml")
    write("netspec: 1\ninputs: {x: [N, 4]}\nlayers: {p: {spec: part.yaml}}\n", "net.yaml")
    (found,) = netspec.check("net.yaml")
    assert (found.code, Path(found.span.file).name, found.span.line) == ("NS219", "part.yaml", 3)
    assert netspec.check("net.yaml", plugins=["mylib"]) == ()


def test_requires_stands_in_front_of_what_follows_from_it() -> None:
    """One error, at `requires`: not one for each layer of the plugin's."""
    spec = netspec.loads(f"{SPEC}  b: mylib/shift\n  c: {{module: mylib/Thing}}\n")
    assert [found.code for found in netspec.check(spec)] == ["NS219"]


def test_a_namespace_is_enough(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spec may need `mylib`, and the plugin be called otherwise."""
    write(LAYERS, "another.py")
    assert netspec.check(netspec.loads(SPEC), plugins=["another"]) == ()


def test_dumped_and_read_again() -> None:
    write(LAYERS)
    spec = netspec.loads(SPEC)
    assert "requires:" in netspec.dump(spec)
    assert netspec.check(netspec.loads(netspec.dump(spec)), plugins=["mylib"]) == ()


# Every way to build


def test_from_python(here: Path) -> None:
    write(LAYERS)
    spec = netspec.loads(SPEC)
    given = {"plugins": ["mylib"]}
    assert netspec.check(spec, **given) == ()
    assert "from mylib import shift\n" in netspec.to_python(spec, **given)
    assert netspec.verify(spec, **given).equal
    for call in (netspec.build, netspec.to_python, netspec.verify):
        with pytest.raises(netspec.SpecError, match="NS219"):
            call(spec)


COMMANDS: dict[str, Callable[[str], bool]] = {
    "check net.yaml": lambda said: "net.yaml: fine" in said,
    "show net.yaml": lambda said: "mylib/shift" in said,
    "export net.yaml": lambda said: "from mylib import shift" in said,
    "verify net.yaml": lambda said: "registered layers" in said,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(LAYERS)
    write(SPEC, "net.yaml")
    assert main(command.split()) == 1
    shown = capsys.readouterr()
    assert "error[NS219]: `mylib` is required" in shown.out + shown.err
    assert main([*command.split(), "--plugin", "mylib"]) == 0
    assert COMMANDS[command](capsys.readouterr().out)
    assert main([*command.split(), "--plugin", "mylip"]) == 2
    shown = capsys.readouterr()
    assert "error[NS220]: there is no plugin `mylip`\n --> from --plugin mylip" in (
        shown.out + shown.err
    )


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    write(LAYERS)
    assert main(["schema"]) == 0
    without = capsys.readouterr().out
    assert main(["schema", "--plugin", "mylib"]) == 0
    having = capsys.readouterr().out
    assert "mylib/shift" not in without and '"mylib/shift"' in having
    assert "Adds a number." in having


def test_schema_takes_the_spec(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    import yaml

    shutil.copy(OWN, here)
    assert main(["schema", "--plugin", OWN.stem]) == 0
    schema = json.loads(capsys.readouterr().out)
    layers = {
        "a": {"module": "SqueezeExcite", "ratio": 2},
        "b": {"act": "mylib/swish", "beta": 1.5},
        "c": "mylib/Swish",
        "d": {"call": "mylib/swish"},
        "e": "SqueezeExcite",
    }
    spec = {"netspec": 1, "inputs": {"x": ["N", 8, 4, 4]}, "layers": layers}
    assert netspec.check(yaml.safe_load(yaml.safe_dump(spec)), plugins=[OWN.stem]) == ()
    jsonschema.validate(spec, schema)
    wrong = spec | {"layers": {"a": {"module": "SqueezeExcite", "ration": 2}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


def test_list(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(OWN, here)
    assert main(["list", "--plugin", OWN.stem, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["plugins"] == [{"name": "own_layers", "package": None, "enabled": True}]
    layers = {each["name"]: each for each in found["layers"]}
    assert layers["SqueezeExcite"] == {
        "name": "SqueezeExcite",
        "kind": "module",
        "arguments": "ratio=4, [channels]",
        "from": "own_layers",
        "doc": "Weighs channels by what is in all of them.",
    }
    assert layers["mylib/Swish"]["kind"] == "act" and layers["mylib/swish"]["kind"] == "call"
    assert main(["list", "--plugin", OWN.stem]) == 0
    assert "SqueezeExcite  module  ratio=4, [channels]" in capsys.readouterr().out
    assert main(["list", "--plugin", "nothing"]) == 2
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"] == []


def test_two_plugins_at_once() -> None:
    write(LAYERS)
    write(LAYERS.replace("mylib/shift", "other/shift").replace("x + by", "x - by"), "another.py")
    text = SPEC.replace("[mylib]", "[mylib, other]") + "  b: {call: other/shift}\n"
    spec = netspec.loads(text)
    model = netspec.build(spec, plugins=["mylib", "another"])
    x = torch.ones(1, 4)
    assert torch.allclose(model(x), model.fc(x) + 1)
    source = netspec.to_python(spec, plugins=["another", "mylib"])
    assert "from another import shift as other_shift\n" in source
    assert [registered.plugin for registered in registry.owned_by("mylib")] == ["mylib"]


def test_enabling_is_of_a_thread() -> None:
    """A plugin that one thread enables is not there in another."""
    import threading

    write(LAYERS)
    plugins.load(["mylib"])
    found: list[object] = []
    with plugins.enabled(["mylib"]):
        assert netspec.check(netspec.loads(SPEC)) == ()
        thread = threading.Thread(target=lambda: found.append(netspec.check(netspec.loads(SPEC))))
        thread.start()
        thread.join()
    assert [each.code for each in found[0]] == ["NS219"]  # type: ignore[attr-defined]


def test_a_plugin_that_imports_another() -> None:
    write(LAYERS)
    write(LAYERS.replace("mylib/shift", "other/shift") + "\nimport mylib\n", "another.py")
    other = SPEC.replace("mylib", "other").replace("[other]", "[another]")
    netspec.build(netspec.loads(other), plugins=["another"])
    netspec.build(netspec.loads(SPEC), plugins=["mylib"])


def test_a_wrong_name_is_not_in_the_way_of_the_right_one() -> None:
    write(LAYERS)
    refusal("mylib.py")
    netspec.build(netspec.loads(SPEC), plugins=["mylib"])
