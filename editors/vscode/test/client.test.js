"use strict";
// The extension's own logic, with stand-ins for VS Code and the client library; needs node alone.
const assert = require("node:assert");
const Module = require("node:module");
const test = require("node:test");

const SPEC = "netspec: 1\nlayers: {}\n";
const at = { settings: {}, trusted: true, documents: [], started: [], ended: 0, shown: [], fails: false };
const listeners = {};
const commands = {};
const listen = (name) => (listener) => { listeners[name] = listener; return { dispose() {} }; };

const vscode = {
  workspace: {
    get isTrusted() { return at.trusted; },
    get textDocuments() { return at.documents; },
    getConfiguration: () => ({ get: (key, otherwise) => at.settings[key] ?? otherwise }),
    createFileSystemWatcher: (pattern) => ({ pattern }),
    onDidOpenTextDocument: listen("opened"),
    onDidChangeTextDocument: listen("changed"),
    onDidGrantWorkspaceTrust: listen("trusted"),
    onDidChangeConfiguration: listen("configured"),
  },
  window: {
    activeTextEditor: { document: { fileName: "/specs/net.yaml", isUntitled: false } },
    showErrorMessage: async (text) => { at.shown.push(text); },
    createTerminal: (options) => { at.terminal = options; return { show() {} }; },
  },
  commands: { registerCommand: (name, run) => { commands[name] = run; return { dispose() {} }; } },
};
class LanguageClient {
  constructor(id, name, server, options) { Object.assign(this, { server, options }); }
  async start() {
    if (at.fails) throw new Error("spawn netspec ENOENT");
    at.started.push(this);
  }
  async dispose() { at.ended += 1; }
}
const load = Module._load;
Module._load = function (name, ...others) {
  if (name === "vscode") return vscode;
  return name === "vscode-languageclient/node" ? { LanguageClient } : load.call(this, name, ...others);
};
const extension = require("../src/extension");
const { isSpec, serverOf } = require("../src/server");
const document = (text, languageId = "yaml") => ({ languageId, getText: () => text });
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

test("a spec is told by its key", () => {
  for (const text of [SPEC, "# c\n'netspec': 1", '{"netspec": 1}', "x: 1\nnetspec : 1"]) assert(isSpec(text), text);
  for (const text of ["", "a: netspec", " netspec: 1", "mynetspec: 1"]) assert(!isSpec(text), text);
});

test("how the server is started is in the settings", () => {
  const given = { command: ["uv", "run", "netspec"], act: "inplace", parameters: true, plugins: ["a", "b"] };
  assert.deepStrictEqual(serverOf(given), {
    command: "uv",
    args: ["run", "netspec", "lsp", "--act", "inplace", "--parameters", "--plugin", "a", "--plugin", "b"],
  });
});

test("it starts with the first spec, in a folder that is trusted, and again with other settings", async () => {
  at.trusted = false;
  at.documents = [document("services: {}"), document(SPEC)];
  extension.activate({ subscriptions: [] });
  listeners.opened(document(SPEC));
  await settled();
  assert.strictEqual(at.started.length, 0);

  at.trusted = true;
  at.documents = [];
  listeners.trusted();
  listeners.opened(document("services: {}"));
  listeners.opened(document(SPEC, "markdown"));
  listeners.configured({ affectsConfiguration: () => true });
  await settled();
  assert.strictEqual(at.started.length, 0);

  listeners.changed({ document: document(SPEC) });
  listeners.opened(document(SPEC));
  await settled();
  assert.strictEqual(at.started.length, 1);
  assert.deepStrictEqual(at.started[0].server, { command: "netspec", args: ["lsp", "--act", "module"] });
  assert.deepStrictEqual(at.started[0].options.documentSelector.map((each) => each.language), ["yaml", "yaml"]);

  at.settings = { command: ["/venv/bin/netspec"] };
  listeners.configured({ affectsConfiguration: (name) => name === "netspec" });
  await settled();
  assert.strictEqual(at.ended, 1);
  assert.strictEqual(at.started[1].server.command, "/venv/bin/netspec");
});

test("where it is not installed a message says what to do, and a restart tries again", async () => {
  at.fails = true;
  await commands["netspec.restart"]();
  assert.strictEqual(at.shown.length, 1);
  assert.match(at.shown[0], /pip install 'netspec\[lsp\]'/);
  at.fails = false;
  await commands["netspec.restart"]();
  assert.strictEqual(at.started.length, 3);
  await extension.deactivate();
  assert.strictEqual(at.ended, 4);
});

test("the picture is shown by the same command", () => {
  commands["netspec.show"]();
  assert.strictEqual(at.terminal.shellPath, "/venv/bin/netspec");
  assert.deepStrictEqual(at.terminal.shellArgs, ["show", "/specs/net.yaml", "--watch", "--open"]);
});
