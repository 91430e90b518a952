// @ts-check
"use strict";

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");
const { commandOf, isSpec, serverOf } = require("./server");

/** @type {import("vscode-languageclient/node").LanguageClient | undefined} */
let client;
let wanted = false; // a spec has been open
let work = Promise.resolve(); // what starts and stops the client, one after the other

/** @returns {import("./server").Settings} */
const settings = () => {
  const found = vscode.workspace.getConfiguration("netspec");
  return {
    command: found.get("command", ["netspec"]),
    act: found.get("act", "module"),
    parameters: found.get("parameters", false),
    plugins: found.get("plugins", []),
  };
};

const start = async () => {
  const server = serverOf(settings());
  client = new LanguageClient("netspec", "netspec", server, {
    documentSelector: ["file", "untitled"].map((scheme) => ({ scheme, language: "yaml" })),
    synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*.{yaml,yml}") },
  });
  try {
    await client.start();
  } catch {
    const words = [server.command, ...server.args].join(" ");
    const hint = `\`${words}\` did not start. \`pip install 'netspec[lsp]'\` brings it; where it is, the setting netspec.command says.`;
    vscode.window.showErrorMessage(hint, "Open Settings").then((answer) => {
      if (answer) vscode.commands.executeCommand("workbench.action.openSettings", "netspec.");
    });
  }
};

const stop = async () => {
  const last = client;
  client = undefined;
  await last?.dispose().catch(() => {}); // one that never ran, or has ended by itself
};

const restart = () => (work = work.then(stop).then(start));

/** @param {import("vscode").TextDocument} document */
const look = (document) => {
  const isOne = document.languageId === "yaml" && isSpec(document.getText());
  if (wanted || !isOne || !vscode.workspace.isTrusted) return;
  wanted = true;
  restart();
};

const show = () => {
  const document = vscode.window.activeTextEditor?.document;
  if (!document || document.isUntitled) return;
  const { command, args } = commandOf(settings(), "show", document.fileName, "--watch", "--open");
  vscode.window.createTerminal({ name: "netspec show", shellPath: command, shellArgs: args }).show(true);
};

/** @param {import("vscode").ExtensionContext} context */
const activate = (context) => {
  const { workspace, commands } = vscode;
  context.subscriptions.push(
    workspace.onDidOpenTextDocument(look),
    workspace.onDidChangeTextDocument((change) => look(change.document)),
    workspace.onDidGrantWorkspaceTrust(() => workspace.textDocuments.forEach(look)),
    workspace.onDidChangeConfiguration((change) => {
      if (wanted && change.affectsConfiguration("netspec")) restart();
    }),
    commands.registerCommand("netspec.restart", () => {
      wanted = true;
      return restart();
    }),
    commands.registerCommand("netspec.show", show),
  );
  workspace.textDocuments.forEach(look);
};

const deactivate = () => work.then(stop);

module.exports = { activate, deactivate };
