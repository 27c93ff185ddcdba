/**
 * Builds the web page: `web/` to `web/dist/`, which is checked in, so that a fresh clone serves it at once. With `--check`, writes nothing
 * and fails when a built file is not what the source builds, or when the page has grown over its bound.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const TARGET = "web/dist";
/** First load, compressed: what the page may cost on a slow line. */
const MAX_BYTES = 150_000;

const { outputFiles } = await esbuild.build({
  entryPoints: { app: "web/src/main.tsx", hls: "web/src/hls.ts" },
  outdir: TARGET,
  bundle: true,
  write: false,
  format: "esm",
  target: ["es2022", "chrome123", "firefox121", "safari17.5"],
  minify: true,
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
  logLevel: "warning",
  tsconfig: "web/tsconfig.json",
});

const files = new Map<string, Uint8Array>(
  outputFiles.map(({ path, contents }) => [path.split(/[\\/]/).at(-1)!, contents]),
);
for (const name of ["index.html", "icon.svg"]) files.set(name, readFileSync(`web/${name}`));

/** What is loaded later, by those who need it. */
const LATER: ReadonlySet<string> = new Set(["hls.js"]);
let firstLoad = 0;
for (const [name, contents] of files) {
  if (!LATER.has(name)) firstLoad += gzipSync(contents).length;
}
if (firstLoad > MAX_BYTES) {
  console.error(`The web page's first load is ${firstLoad} bytes compressed, over the bound of ${MAX_BYTES}.`);
  process.exitCode = 1;
}

if (process.argv.includes("--check")) {
  for (const [name, contents] of files) {
    const path = `${TARGET}/${name}`;
    if (existsSync(path) && readFileSync(path).equals(contents)) continue;
    console.error(`${path} is not what web/ builds. Run: npm run gen`);
    process.exitCode = 1;
  }
} else {
  mkdirSync(TARGET, { recursive: true });
  for (const [name, contents] of files) writeFileSync(`${TARGET}/${name}`, contents);
}
if (process.exitCode === undefined) console.log(`The web page: ${files.size} files, ${firstLoad} bytes compressed.`);
