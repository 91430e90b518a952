"use strict";
// The grammar in the engine that VS Code has, injected into its grammar of YAML.
const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const test = require("node:test");
const oniguruma = require("vscode-oniguruma");
const textmate = require("vscode-textmate");

const manifest = require("../package.json").contributes.grammars[0];
const files = {
  "source.yaml": require.resolve("tm-grammars/grammars/yaml.json"),
  [manifest.scopeName]: path.join(__dirname, "..", manifest.path),
};

/** The stretches of a text that the injection colours, each with its innermost scope. */
const coloured = async (text) => {
  await ready;
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (string) => new oniguruma.OnigString(string),
    }),
    loadGrammar: async (scope) => textmate.parseRawGrammar(fs.readFileSync(files[scope], "utf8"), "x.json"),
    getInjections: (scope) => (manifest.injectTo.includes(scope) ? [manifest.scopeName] : undefined),
  });
  const grammar = await registry.loadGrammar("source.yaml");
  let state = textmate.INITIAL;
  const found = [];
  for (const line of text.split("\n")) {
    const { tokens, ruleStack } = grammar.tokenizeLine(line, state);
    state = ruleStack;
    for (const { startIndex, endIndex, scopes } of tokens) {
      const scope = scopes.at(-1);
      if (scope.endsWith(".netspec") && !scope.startsWith("meta.")) {
        found.push([line.slice(startIndex, endIndex), scope.split(".").slice(0, 2).join(".")]);
      }
    }
  }
  return found;
};
const ready = oniguruma.loadWASM(fs.readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm")));
const words = async (text) => (await coloured(text)).map(([word]) => word).join(" ");

test("words of an expression have their scopes", async () => {
  assert.deepStrictEqual(await coloured('a: "=cat([x, y.mT], dim=-1) if training else x.relu()"'), [
    ["=", "keyword.operator"], ["cat", "entity.name"], ["x", "variable.other"], ["y", "variable.other"],
    ["mT", "variable.other"], ["dim", "variable.parameter"], ["-", "keyword.operator"],
    ["1", "constant.numeric"], ["if", "keyword.operator"], ["training", "constant.language"],
    ["else", "keyword.operator"], ["x", "variable.other"], ["relu", "entity.name"],
  ]);
});

test("where an expression ends", async () => {
  assert.strictEqual(await words("  sum:   =bn2 + b  # of a: =c"), "= bn2 + b");
  assert.strictEqual(await words("{out: =width * 2, act: relu, x: {y: =w}}"), "= width * 2 = w");
  assert.strictEqual(await words("from: [a, =b[0], '=c[:, 1]', =d]"), "= b 0 = c 1 = d");
  assert.strictEqual(await words("a: =f(b,\nc: {d: 1}"), "= f b");
  assert.strictEqual(await words('{n: 4, name: "=f\'layer{k + 1}\'"}'), "= f'layer{k + 1}'");
  assert.strictEqual(await words("- =_ * 1e-3\n- Linear"), "= _ * 1e-3");
});

test("what is none", async () => {
  for (const text of ["a: ==x", "a: b = c", "# a: =b", "a: '==x'", "a: |\n  b: =c\nd: e", 'a: "b: =c"', "a=b: 1"]) {
    assert.strictEqual(await words(text), "", text);
  }
});
