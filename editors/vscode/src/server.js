// @ts-check
"use strict";

// As netspec/spec_text.py has it: the key `netspec` where a spec has it.
const VERSION_KEY = /(?:^\s*\{\s*|^)(["']?)netspec\1\s*:/m;

/**
 * Whether a text says that it is a spec; it need not be right, nor YAML at the moment.
 * @param {string} text
 */
const isSpec = (text) => VERSION_KEY.test(text);

/**
 * @typedef {object} Settings
 * @property {string[]} command the command `netspec`, as words
 * @property {string} act
 * @property {boolean} parameters
 * @property {string[]} plugins
 */

/**
 * The command that is started, and its arguments.
 * @param {Settings} settings
 * @param {string[]} words the command of netspec that is meant, with its arguments
 */
const commandOf = (settings, ...words) => {
  const [command = "netspec", ...first] = settings.command;
  const plugins = settings.plugins.flatMap((name) => ["--plugin", name]);
  return { command, args: [...first, ...words, ...plugins] };
};

/**
 * How the language server is started.
 * @param {Settings} settings
 */
const serverOf = (settings) =>
  commandOf(settings, "lsp", "--act", settings.act, ...(settings.parameters ? ["--parameters"] : []));

module.exports = { commandOf, isSpec, serverOf };
