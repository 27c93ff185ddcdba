/**
 * Builds `dist/velas-sphere`, the single executable: Node 24 with this program inside it (nodejs.org/api/single-executable-applications).
 * `main` and the plugin worker are bundled to CommonJS; files that the program reads at run time become assets under the paths that
 * `readAsset()` and `startWorker()` ask for. With `--xz`, writes `dist/velas-sphere.xz` too.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import process from "node:process";
import * as esbuild from "esbuild";
import { ASSETS, WORKERS } from "./assets.ts";

const BUILD = "dist/build";
const OUTPUT = "dist/velas-sphere";
/** What it and its building consist of, as a CycloneDX bill of materials. */
const BILL = "dist/velas-sphere.cdx.json";
const ADDON_ASSET = "classic-level.node";
const require = createRequire(import.meta.url);

/** Stands in for node-gyp-build: an executable has no folder of prebuilt addons to search, but one inside. */
const ADDON_LOADER = `
const { mkdtempSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const sea = require("node:sea");
module.exports = () => {
  const places = [tmpdir(), process.env.XDG_RUNTIME_DIR, "/dev/shm", process.cwd()].filter(Boolean);
  let failure;
  for (const place of places) {
    let folder;
    try {
      folder = mkdtempSync(join(place, "velas-sphere-"));
      const file = join(folder, "addon.node");
      writeFileSync(file, new Uint8Array(sea.getRawAsset(${JSON.stringify(ADDON_ASSET)})), { mode: 0o500, flag: "wx" });
      const module = { exports: {} };
      process.dlopen(module, file);
      return module.exports;
    } catch (error) {
      failure = error;
    } finally {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    }
  }
  throw new Error("Cannot load the LevelDB addon from any of " + places.join(", ") + ": " + failure.message +
    ". Set TMPDIR to a writable folder that is not mounted noexec.");
};
`;

/** What is built, "" outside a checkout; with a mark when it is not all committed. */
const commit = spawnSync("git", ["describe", "--always", "--dirty=.dirty", "--abbrev=12", "--exclude=*"], {
  encoding: "utf8",
}).stdout?.trim() ?? "";

const addonFromAsset: esbuild.Plugin = {
  name: "addon-from-asset",
  setup(build) {
    build.onResolve({ filter: /^node-gyp-build$/ }, () => ({ path: "node-gyp-build", namespace: "addon" }));
    build.onLoad({ filter: /.*/, namespace: "addon" }, () => ({ contents: ADDON_LOADER, loader: "js" }));
  },
};

/** Leaves out what zod says in other languages than English, 300 kB of source. */
const englishOnly: esbuild.Plugin = {
  name: "english-only",
  setup(build) {
    build.onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js";',
      loader: "js",
    }));
  },
};

async function bundle(entry: string, outfile: string): Promise<void> {
  await esbuild.build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
    logLevel: "warning",
    define: { "import.meta.url": "undefined", ...commit === "" ? {} : { VELAS_SPHERE_COMMIT: JSON.stringify(commit) } },
    plugins: [addonFromAsset, englishOnly],
  });
}

function run(command: string, args: readonly string[]): void {
  const result = spawnSync(command, args, { encoding: "utf8" });
  if (result.error) throw result.error;
  if (result.status !== 0) {
    throw new Error(`${command} ${args.join(" ")} ended with ${result.status}:\n${result.stdout}${result.stderr}`);
  }
}

rmSync(BUILD, { recursive: true, force: true });
mkdirSync(BUILD, { recursive: true });

const assets: Record<string, string> = {
  [ADDON_ASSET]: require("node-gyp-build").path(dirname(require.resolve("classic-level/package.json"))),
};
for (const asset of ASSETS) assets[asset] = asset;
await bundle("src/main.ts", `${BUILD}/main.cjs`);
for (const worker of WORKERS) {
  assets[worker] = `${BUILD}/${worker.replaceAll("/", "-")}.cjs`;
  await bundle(worker, assets[worker]);
}

const config = {
  main: `${BUILD}/main.cjs`,
  output: `${BUILD}/sea.blob`,
  disableExperimentalSEAWarning: true,
  useCodeCache: true,
  // A young generation of bounded size: V8 would let it grow with the load, keep it, and stop the node for 10 ms to collect it. With 8 MiB it
  // takes 3 ms and no more time in sum; with 4 it takes more.
  execArgv: ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=8"],
  execArgvExtension: "none",
  assets,
};
writeFileSync(`${BUILD}/sea.json`, JSON.stringify(config, null, 2));
run(process.execPath, ["--experimental-sea-config", `${BUILD}/sea.json`]);

rmSync(OUTPUT, { force: true });
copyFileSync(process.execPath, OUTPUT);
chmodSync(OUTPUT, 0o755);
run(process.execPath, [
  require.resolve("postject/dist/cli.js"),
  OUTPUT,
  "NODE_SEA_BLOB",
  config.output,
  "--sentinel-fuse",
  "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2",
]);
console.log(`${OUTPUT}: ${(statSync(OUTPUT).size / 2 ** 20).toFixed(1)} MiB`);

const bill = spawnSync("npm", ["sbom", "--sbom-format=cyclonedx", "--package-lock-only"], { encoding: "utf8" });
if (bill.status !== 0) throw new Error(`npm sbom ended with ${bill.status}:\n${bill.stderr}`);
writeFileSync(BILL, bill.stdout);
console.log(`${BILL}: ${JSON.parse(bill.stdout).components.length} components`);

if (process.argv.includes("--xz")) {
  run("xz", ["--keep", "--force", "-6", OUTPUT]);
  console.log(`${OUTPUT}.xz: ${(statSync(`${OUTPUT}.xz`).size / 2 ** 20).toFixed(1)} MiB`);
}
