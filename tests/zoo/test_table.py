"""The table of docs/zoo.md: what it counts, and that it is of the specs as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import zoo_table

ROOT = Path(__file__).parents[2]
CODE = '''
# a comment
class A:
    """A docstring
    of two lines."""

    words = """a text
    of two"""  # is code

    def f(self):
        "Another."
        return (  # one
            1
        )
'''


def test_lines_of_code_are_counted_without_docstrings_and_comments() -> None:
    assert zoo_table.python_lines(CODE) == 7
    assert zoo_table.yaml_lines("netspec: 1\n\n# a comment\nlayers:   # and more\n  a: =x\n") == 3


def test_the_page_tells_of_every_spec_as_it_is() -> None:
    """Where this fails: `python scripts/zoo_table.py SPEC … --write`."""
    page = zoo_table.read_rows(zoo_table.PAGE.read_text(encoding="utf-8"))
    assert sorted(page) == zoo_table.names()
    zoo = {path.stem for path in (ROOT / "configs" / "model" / "zoo").glob("*.yaml")}
    assert zoo <= set(page)
    for spec, cells in page.items():
        assert cells.items() >= zoo_table.described(spec).items()


def test_every_comparison_on_the_page_is_equal() -> None:
    page = zoo_table.read_rows(zoo_table.PAGE.read_text(encoding="utf-8"))
    assert {cells["compared"] for cells in page.values()} == {"equal", ""}


def test_rows_are_written_among_those_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "zoo.md"
    page.write_text(f"Before.\n{zoo_table.BEGIN}\n\n{zoo_table.END}\nAfter.\n", encoding="utf-8")
    monkeypatch.setattr(zoo_table, "PAGE", page)
    rows = {
        spec: dict.fromkeys(zoo_table.HEAD, "1") | {"spec": f"`{spec}`"} for spec in ("vae", "mlp")
    }
    zoo_table.write(rows)
    zoo_table.write({"vae": rows["vae"] | {"lines": "2"}})
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.\n") and text.endswith("After.\n")
    found = zoo_table.read_rows(text)
    assert {spec: cells["lines"] for spec, cells in found.items()} == {"mlp": "1", "vae": "2"}


def test_a_row_is_measured() -> None:
    command = [sys.executable, "scripts/zoo_table.py", "vae", "--quick"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    cells = next(iter(zoo_table.read_rows(f"{zoo_table.BEGIN}{run.stdout}").values()))
    assert (cells["compared"], cells["seed"]) == ("equal", "●")
    assert float(cells["forward"]) > 0 and float(cells["build, cold"]) > 0
    wrong = subprocess.run([*command, "lenet"], cwd=ROOT, capture_output=True, check=False)
    assert wrong.returncode == 2
