// Bundles the extension into dist/extension.js, and the licences of what is in it beside that.
import { build } from "esbuild";
import { copyFileSync, existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";

const { metafile } = await build({
  entryPoints: ["src/extension.js"],
  outfile: "dist/extension.js",
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  external: ["vscode"],
  minify: true,
  metafile: true,
});
const folders = Object.keys(metafile.inputs)
  .map((path) => path.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0])
  .filter((folder) => folder !== undefined);
const licences = [...new Set(folders)].sort().map((folder) => {
  const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
  if (!file) throw new Error(`${folder} has no licence`);
  return `${folder.replace(/^.*node_modules\//, "")}\n\n${readFileSync(`${folder}/${file}`, "utf8")}`;
});
writeFileSync("dist/LICENSES.txt", licences.join("\n\n"));
if (existsSync("../../LICENSE")) copyFileSync("../../LICENSE", "LICENSE");
