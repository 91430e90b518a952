"""The VS Code extension, and the settings for editors in docs/editors.md, beside the real command."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netspec import __version__
from netspec.commands.parsers import lsp_parser, show_parser
from netspec.language.expressions import is_expression
from netspec.source import read_source
from netspec.spec_text import says_it_is_a_spec
from tests.lsp.client import ROOT, START
from tests.test_docs import blocks_of

VSCODE = ROOT / "editors" / "vscode"
MANIFEST: Any = json.loads((VSCODE / "package.json").read_text(encoding="utf-8"))
GRAMMAR: Any = json.loads((VSCODE / "syntaxes" / "expression.json").read_text(encoding="utf-8"))
SETTINGS: Any = MANIFEST["contributes"]["configuration"]["properties"]
SPECS = sorted((ROOT / "configs" / "model").rglob("*.yaml"))
NODE, NPM, NEOVIM = shutil.which("node"), shutil.which("npm"), shutil.which("nvim")
needs_node = pytest.mark.skipif(NODE is None, reason="no Node here")


def setting(heading: str, language: str) -> str:
    """The first block of this language in a section of docs/editors.md."""
    text = (ROOT / "docs" / "editors.md").read_text(encoding="utf-8")
    section = text.partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    return next(b.text for b in blocks_of("editors.md", section) if b.language == language)


# The extension for VS Code


def test_the_settings_are_the_options_of_the_command() -> None:
    assert MANIFEST["version"] == __version__
    options = {
        name: action
        for action in lsp_parser()._actions
        for name in action.option_strings
        if name.startswith("--") and name != "--help"
    }
    settings = {name.removeprefix("netspec."): each for name, each in SETTINGS.items()}
    assert {f"--{name.removesuffix('s') if name == 'plugins' else name}" for name in settings} == {
        *options,
        "--command",
    }
    act = options["--act"]
    assert settings["act"]["enum"] == [*(act.choices or ())]
    assert settings["act"]["default"] == act.default
    assert settings["parameters"]["default"] == options["--parameters"].default


def test_what_runs_code_is_left_to_trusted_folders() -> None:
    untrusted = MANIFEST["capabilities"]["untrustedWorkspaces"]
    assert untrusted["supported"] == "limited"
    assert untrusted["restrictedConfigurations"] == ["netspec.command", "netspec.plugins"]


def in_node(code: str) -> Any:
    command = [NODE or "", "-e", f"const s = require('./src/server'); {code}"]
    done = subprocess.run(command, cwd=VSCODE, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@needs_node
def test_the_command_takes_what_the_extension_gives_it() -> None:
    defaults = {name.removeprefix("netspec."): each["default"] for name, each in SETTINGS.items()}
    given = {"command": ["python", "-m", "x"], "act": "inplace", "parameters": True}
    given["plugins"] = ["a", "b"]
    found = in_node(
        f"const given = [{json.dumps(defaults)}, {json.dumps(given)}];"
        "console.log(JSON.stringify([...given.map((g) => s.serverOf(g)),"
        " s.commandOf(given[1], 'show', 'net.yaml', '--watch', '--open')]))"
    )
    plain, full, show = found
    assert (plain["command"], plain["args"][0]) == ("netspec", "lsp")
    options = lsp_parser().parse_args(plain["args"][1:])
    assert (options.act, options.parameters, options.plugin) == ("module", False, [])
    assert (full["command"], full["args"][:3]) == ("python", ["-m", "x", "lsp"])
    options = lsp_parser().parse_args(full["args"][3:])
    assert (options.act, options.parameters, options.plugin) == ("inplace", True, ["a", "b"])
    shown = show_parser().parse_args(show["args"][3:])
    assert (shown.spec, shown.watch, shown.open) == ("net.yaml", True, True)


@needs_node
def test_the_extension_and_the_compiler_agree_on_what_is_a_spec() -> None:
    texts = [path.read_text(encoding="utf-8") for path in SPECS[:20]]
    texts += ["", "a: netspec", " netspec: 1", " {netspec: 1}", "a: 1\n'netspec' : 1", "netspec"]
    texts += ["x:\n  netspec: 1", '{"netspec": 1}', "mynetspec: 1", "netspec-x: 1", "netspec\n: 1"]
    found = in_node(f"console.log(JSON.stringify({json.dumps(texts)}.map(s.isSpec)))")
    assert found == [says_it_is_a_spec(text) for text in texts]


@needs_node
def test_the_extensions_own_logic() -> None:
    command = [NODE or "", "--test", "test/client.test.js"]
    done = subprocess.run(command, cwd=VSCODE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.skipif(NPM is None, reason="no npm here")
def test_it_is_packed(tmp_path: Path) -> None:
    """From a copy: what npm installs is not left in the repository."""
    copy = tmp_path / "vscode"
    left_out = shutil.ignore_patterns("node_modules", "dist", "*.vsix")
    shutil.copytree(VSCODE, copy, ignore=left_out)
    install = [NPM or "", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(install, cwd=copy, capture_output=True, text=True, timeout=600)
    if done.returncode != 0 and re.search(
        "ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT", done.stderr
    ):
        pytest.skip("npm reaches no registry")
    assert done.returncode == 0, done.stderr
    shutil.copy(ROOT / "LICENSE", copy)
    for script in ("test", "package"):
        command = [NPM or "", "run", script]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    names = ["package.json", "dist/extension.js", "dist/LICENSES.txt", "syntaxes/expression.json"]
    shutil.unpack_archive(copy / "netspec.vsix", tmp_path / "unpacked", "zip")
    extension = tmp_path / "unpacked" / "extension"
    assert [name for name in names if not (extension / name).is_file()] == []
    assert not (extension / "node_modules").exists()


# The colours of expressions: the engine of VS Code is asked by test/grammar.test.js


def patterns(rules: Any) -> Iterator[str]:
    if isinstance(rules, dict):
        yield from (rules[key] for key in ("match", "begin", "end") if key in rules)
    for each in rules.values() if isinstance(rules, dict) else rules:
        if isinstance(each, dict | list):
            yield from patterns(each)


def expressions() -> Iterator[tuple[Path, int, int, str]]:
    """Each expression of the specs: its file, line, column, and text."""
    for path in SPECS:
        source = read_source(path)
        stack: list[tuple[tuple[str | int, ...], object]] = [((), source.value)]
        while stack:
            at, value = stack.pop()
            if isinstance(value, dict):
                stack += [((*at, key), item) for key, item in value.items()]
            elif isinstance(value, list):
                stack += [((*at, index), item) for index, item in enumerate(value)]
            elif isinstance(value, str) and is_expression(value):
                span = source.span_of(at)
                yield path, span.line, span.column, value


def test_the_grammar_finds_every_expression_of_the_specs() -> None:
    for pattern in patterns(GRAMMAR["repository"]):
        re.compile(pattern)
    found = [
        re.compile(GRAMMAR["repository"][each["include"][1:]]["begin"])
        for each in GRAMMAR["patterns"]
    ]
    missed, count = [], 0
    for path, line, column, text in expressions():
        count += 1
        written = path.read_text(encoding="utf-8").splitlines()[line - 1]
        index = written.index("=", column - 1)
        ends = {match.end() for rule in found for match in rule.finditer(written)}
        if index + 1 not in ends:
            missed.append((path.name, line, text))
    assert count > 500
    assert missed == []


# Settings of other editors


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is part of Python from 3.11 on")
def test_helix() -> None:
    import tomllib

    found = tomllib.loads(setting("Helix", "toml"))
    server = found["language-server"]["netspec"]
    assert server["command"] == "netspec"
    assert server["args"][0] == "lsp" and lsp_parser().parse_args(server["args"][1:])
    assert found["language"][0]["name"] == "yaml"
    assert found["language"][0]["language-servers"][0] == "netspec"


def test_zed() -> None:
    found = json.loads(setting("Zed", "json"))
    binary = found["lsp"]["yaml-language-server"]["binary"]
    assert binary == {"path": "netspec", "arguments": ["lsp"]}


def test_vscode() -> None:
    found = json.loads(setting("VS Code", "json"))
    assert found.keys() <= SETTINGS.keys()


def test_emacs() -> None:
    text = setting("Emacs", "elisp")
    assert text.count("(") == text.count(")")
    assert '("netspec" "lsp")' in text


# What Neovim before 0.11 lacks of what the settings name.
SHIM = """
if not vim.lsp.config then
  local known = {}
  vim.lsp.config = function(name, config) known[name] = config end
  vim.lsp.enable = function(name)
    vim.api.nvim_create_autocmd("FileType", { pattern = known[name].filetypes, callback = function(at)
      local id = vim.lsp.start_client({ name = name, cmd = known[name].cmd })
      vim.lsp.buf_attach_client(at.buf, id)
    end })
  end
  vim.lsp.inlay_hint = { enable = function() end }
end
"""
ASK = """
vim.cmd("edit net.yaml")
vim.wait(60000, function() return #vim.diagnostic.get(0) > 0 end, 50)
for _, each in ipairs(vim.diagnostic.get(0)) do
  io.stdout:write(each.lnum .. " " .. each.message .. "\\n")
end
vim.cmd("qall!")
"""


@pytest.mark.skipif(NEOVIM is None, reason="no Neovim here")
def test_neovim(tmp_path: Path) -> None:
    pytest.importorskip("pygls")
    command = tmp_path / "netspec"
    command.write_text(
        f"#!{sys.executable}\nimport sys; sys.path.insert(0, {str(ROOT)!r})\n{START}\n"
    )
    command.chmod(0o755)
    settings = setting("Neovim", "lua")
    assert '{ "netspec", "lsp" }' in settings
    (tmp_path / "init.lua").write_text(f"{SHIM}{settings}", encoding="utf-8")
    (tmp_path / "ask.lua").write_text(ASK, encoding="utf-8")
    (tmp_path / "net.yaml").write_text(
        "netspec: 1\ninputs: {x: [N, 4]}\nlayers:\n  a: {module: Linear, out_feature: 4}\n",
        encoding="utf-8",
    )
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [NEOVIM or "", "--headless", "-u", "init.lua", "-S", "ask.lua"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "3 `Linear` has no argument `out_feature`" in done.stdout, done.stderr
