"""Texts that take over an ordinary Hydra program, and that a run of netspec refuses.

Each is first shown to work: a small Hydra program composes the same file as an option of a group.
Then `train.py model=that.yaml` refuses it with a placed error; nothing is executed, nothing of the
environment is told, and the configuration is the one that it would be with any other spec.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import save_file

import netspec
from netspec.run.command import config_folders
from tests.run.console import run

ROOT = Path(__file__).resolve().parents[2]
SECRET = "not-to-be-told-4711"
SPEC = """\
netspec: 1
name: Net
inputs: {x: [N, 1, 28, 28]}
layers:
  flat: {call: flatten, start_dim: 1}
  fc: {module: Linear, out_features: 10}
"""
APP = """\
import hydra
from hydra.utils import instantiate

@hydra.main(version_base="1.3", config_path="conf", config_name="app")
def main(config):
    from omegaconf import OmegaConf
    print(OmegaConf.to_yaml(config, resolve=True))
    if "_target_" in config.model:
        instantiate(config.model)

main()
"""
RUNS = "{_target_: pathlib.Path.touch, _args_: [{_target_: pathlib.Path, _args_: [ran]}]}"
RAN = "<it ran>"
TARGET = f"_target_: builtins.dict\nran: {RUNS}\n"


@dataclass(frozen=True)
class Attack:
    """A file, what an ordinary Hydra program does with it, and what is said of it here."""

    text: str
    works: str  # in what the program prints; RAN where it made the file `ran`
    told: str


def header(package: str) -> str:
    return f"# @package {package}\n"


# `_callbacks_` of Hydra are instantiated before the program's own first line.
ATTACKS: Mapping[str, Attack] = {
    "a callback by a header": Attack(
        header("_global_") + f"hydra:\n  callbacks:\n    a: {RUNS}\n" + SPEC,
        RAN,
        "error[NS109]: `# @package _global_` is a header for Hydra\n"
        " --> attack.yaml:1:1\n"
        "1 | # @package _global_\n"
        "  | ^^^^^^^^^^^^^^^^^^^\n",
    ),
    "a callback by the package of callbacks": Attack(
        header("hydra.callbacks") + f"a: {RUNS}\n" + SPEC,
        RAN,
        "error[NS109]: `# @package hydra.callbacks` is a header for Hydra\n"
        " --> attack.yaml:1:1\n"
        "1 | # @package hydra.callbacks\n"
        "  | ^^^^^^^^^^^^^^^^^^^^^^^^^^\n",
    ),
    "the environment": Attack(
        SPEC + "doc: ${oc.env:NETSPEC_SECRET}\n",
        SECRET,
        "error[NS109]: `${oc.env:NETSPEC_SECRET}` is an interpolation for Hydra\n"
        " --> attack.yaml:7:6\n"
        "7 | doc: ${oc.env:NETSPEC_SECRET}\n"
        "  |      ^^^^^^^^^^^^^^^^^^^^^^^^\n",
    ),
    "the environment as a name": Attack(
        SPEC.replace("out_features: 10", "out_features: 10, extra: '${oc.env:NETSPEC_SECRET}'"),
        SECRET,
        "error[NS109]: `${oc.env:NETSPEC_SECRET}` is an interpolation for Hydra\n"
        " --> attack.yaml:6:49\n",
    ),
    "another configuration": Attack(
        "defaults: [other, _self_]\n" + SPEC,
        "pulled: in",
        "error[NS201]: unknown key `defaults`\n --> attack.yaml:1:1\n",
    ),
    "Hydra's own node": Attack(
        header("_global_") + f"hydra: {{callbacks: {{a: {RUNS}}}}}\n" + SPEC,
        RAN,
        "error[NS109]: `# @package _global_` is a header for Hydra\n --> attack.yaml:1:1\n",
    ),
    "a target": Attack(
        SPEC + TARGET,
        RAN,
        "error[NS201]: unknown key `_target_`\n --> attack.yaml:7:1\n",
    ),
    "a partial": Attack(
        SPEC + TARGET + "_partial_: false\n",
        RAN,
        "error[NS201]: unknown key `_partial_`\n --> attack.yaml:9:1\n",
    ),
    "an anchor and a merge": Attack(
        SPEC.replace("Linear", "&a Linear")
        + f"b: &b\n  c: {RUNS}\n<<: *b\n_target_: builtins.dict\n",
        RAN,
        "error[NS",
    ),
}
# What PyYAML's unsafe loader does; neither Hydra's nor netspec's does it.
YAML = {
    "a Python object": (SPEC + "doc: !!python/object/apply:os.system ['touch ran']\n", "NS10"),
    "a second document": (SPEC + "---\n" + header("hydra.callbacks") + f"a: {RUNS}\n", "NS10"),
    "an alias that grows": (
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" + SPEC + "doc: *c\n",
        "NS",
    ),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSPEC_SECRET", SECRET)
    return tmp_path


def works_on_hydra(text: str, folder: Path) -> str:
    """What an ordinary program prints; RAN where the file made it run something."""
    app = folder / "app"
    options = app / "conf" / "model"
    options.mkdir(parents=True)
    (app / "app.py").write_text(APP, encoding="utf-8")
    (app / "conf" / "app.yaml").write_text("defaults: [model: attack, _self_]\n", encoding="utf-8")
    (options / "attack.yaml").write_text(text, encoding="utf-8")
    (options / "other.yaml").write_text("pulled: in\n", encoding="utf-8")
    command = [sys.executable, "app.py", "hydra.run.dir=.", "hydra.output_subdir=null"]
    done = subprocess.run(command, cwd=app, capture_output=True, text=True, check=False)
    return f"{RAN if (app / 'ran').exists() else ''} {done.stdout}{done.stderr}"


def refused(command: str, folder: Path) -> str:
    """What a refused command says; it runs nothing and tells nothing of the environment."""
    said, status = run(command)
    assert status == 1, said
    assert not list(folder.glob("**/ran")), "it ran"
    assert SECRET not in said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("name", ATTACKS)
def test_works_on_hydra_and_not_here(name: str, here: Path) -> None:
    attack = ATTACKS[name]
    assert attack.works in works_on_hydra(attack.text, here / "ordinary")
    (here / "ordinary" / "app" / "ran").unlink(missing_ok=True)
    (here / "attack.yaml").write_text(attack.text, encoding="utf-8")
    assert attack.told in refused("python train.py model=attack.yaml data.limit=100", here)


@pytest.mark.parametrize("name", YAML)
def test_yaml_is_plain(name: str, here: Path) -> None:
    text, code = YAML[name]
    (here / "attack.yaml").write_text(text, encoding="utf-8")
    said = refused("python train.py model=attack.yaml data.limit=100", here)
    assert f"error[{code}" in said
    assert " --> attack.yaml:" in said


@pytest.mark.parametrize("name", ATTACKS)
def test_configuration_is_as_with_any_spec(name: str, here: Path) -> None:
    """Hydra gets the name of the spec, and nothing that is in it."""
    (here / "attack.yaml").write_text(ATTACKS[name].text, encoding="utf-8")
    (here / "good.yaml").write_text(SPEC, encoding="utf-8")
    with config_folders("train") as (folder, _):
        found = []
        for spec in ("attack", "good"):
            with initialize_config_dir(config_dir=str(folder), version_base="1.3"):
                overrides = [f"model={spec}.yaml", "hydra.run.dir=x", "hydra.sweep.dir=x"]
                config = compose("train", overrides=overrides, return_hydra_config=True)
            text = json.dumps(OmegaConf.to_container(config, resolve=False), default=str)
            found.append(text.replace("attack", "good"))
    assert found[0] == found[1]


# In the files that a spec names


def test_included_blocks(here: Path) -> None:
    blocks = (
        header("hydra.callbacks")
        + "netspec: 1\nblocks:\n  b:\n    inputs: [x]\n    layers: {r: {act: relu}}\n"
    )
    (here / "blocks.yaml").write_text(blocks, encoding="utf-8")
    text = SPEC.replace("layers:\n", "include: [blocks.yaml]\nlayers:\n  b: {block: b}\n")
    (here / "net.yaml").write_text(text, encoding="utf-8")
    said = refused("python train.py model=net.yaml data.limit=100", here)
    assert "error[NS109]: `# @package hydra.callbacks` is a header for Hydra" in said
    assert "blocks.yaml:1:1" in said


def test_part(here: Path) -> None:
    part = SPEC.replace("Linear,", "Linear, bias: '${oc.env:NETSPEC_SECRET}',")
    (here / "part.yaml").write_text(part, encoding="utf-8")
    text = SPEC.split("layers:")[0] + "layers:\n  p: {spec: part.yaml}\n"
    (here / "net.yaml").write_text(text, encoding="utf-8")
    said = refused("python train.py model=net.yaml data.limit=100", here)
    assert "${oc.env:NETSPEC_SECRET}" in said
    assert "part.yaml:6:" in said


# In a checkpoint


def test_recipe_of_a_checkpoint(here: Path) -> None:
    """A checkpoint's spec with all that Hydra would heed in it: nothing of it is heeded."""
    (here / "good.yaml").write_text(SPEC, encoding="utf-8")
    options = "device=cpu trainer.max_epochs=1 data.limit=100 folder=run"
    said, status = run(f"python train.py model=good.yaml {options}")
    assert status == 0, said
    best = here / "run" / "checkpoints" / "best.safetensors"
    with safe_open(best, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    head = json.loads(metadata["netspec"])
    attack = ATTACKS["a target"].text
    head["recipe"]["main"]["text"] = attack
    evil = here / "evil.safetensors"
    save_file(tensors, evil, {**metadata, "netspec": json.dumps(head)})
    assert "error[NS201]: unknown key `_target_`" in refused("python eval.py checkpoint=evil", here)
    with pytest.raises(netspec.SpecError, match="_target_"):
        netspec.load_checkpoint(evil)
    head["recipe"]["main"]["text"] = ATTACKS["the environment"].text
    save_file(tensors, evil, {**metadata, "netspec": json.dumps(head)})
    model = netspec.load_checkpoint(evil)  # text in a `doc`: netspec gives it no meaning
    assert SECRET not in str(vars(model))
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert not (here / "ran").exists()


def test_pickle_is_not_read(here: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.system, ("touch ran",))

    torch.save({"state_dict": {}, "evil": Evil()}, here / "evil.pt")
    assert "error[NS703]" in refused("python eval.py checkpoint=evil.pt", here)
    assert "error[NS712]" in refused("python train.py weights=evil.pt", here)
    with pytest.raises(netspec.SpecError, match=r"NS712.*needs code to be read: `posix.system`"):
        netspec.load_weights(netspec.build("lenet"), here / "evil.pt")
    assert not (here / "ran").exists()


# What users may type themselves


def test_the_users_own_interpolation_works(here: Path) -> None:
    """On the command line `${…}` is Hydra's, and the value that it stands for is checked."""
    (here / "net.yaml").write_text("args: {n: 1}\n" + SPEC.replace("10}", "=n}"), encoding="utf-8")
    short = "data.limit=100 trainer.max_epochs=1 device=cpu data.batch_size=10 folder=run"
    said, status = run(
        f"python train.py model=net.yaml 'model.args.n=${{data.batch_size}}' {short}"
    )
    assert status == 0, said
    model = netspec.load_checkpoint(here / "run")
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
