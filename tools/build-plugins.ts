// Builds everything that is WebAssembly: the kernel of the plugin host (into src/plugins/kernel-bytes.ts), the test plugins
// (wasm-plugins/testing/*.wat) and the plugins in other languages (wasm-plugins/*/build.sh), whose manifest it puts in when the compiler
// cannot. With --check nothing is written: the built bytes are compared with what is checked in, and a difference is an error. With
// --no-compilers those are left out, and `--only name` builds one of them. Those that take many minutes are built with --slow or by name.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import loadWabt from "wabt";
import { packPlugin } from "../src/plugins/pack-plugin.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const check = process.argv.includes("--check");
const only = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1] : undefined;
const withCompilers = !process.argv.includes("--no-compilers");
/** Plugins whose compilers take many minutes. */
const SLOW: ReadonlySet<string> = new Set(["audio", "digits", "text"]);
/** Plugins of one workspace, which compile what they share once. */
const ONNX: ReadonlySet<string> = new Set(["digits", "text"]);
const withSlow = process.argv.includes("--slow");
const wabt = await loadWabt();
const stale: string[] = [];

/** Assembles a .wat file of the project. */
function assemble(path: string): Uint8Array {
  const module = wabt.parseWat(path, readFileSync(join(root, path), "utf8"), {
    bulk_memory: true,
    sat_float_to_int: true,
    exceptions: true,
  });
  try {
    return module.toBinary({ write_debug_names: false }).buffer;
  } finally {
    module.destroy();
  }
}

/** Writes a file of the project, or with --check notes that it would change. */
function put(path: string, content: Uint8Array | string): void {
  const bytes = Buffer.from(content);
  const file = join(root, path);
  if (existsSync(file) && readFileSync(file).equals(bytes)) return;
  if (check) stale.push(path);
  else writeFileSync(file, bytes);
  console.log(`${check ? "differs" : "wrote"}: ${path}`);
}

const kernel = Buffer.from(assemble("src/plugins/kernel.wat")).toString("base64");
put(
  "src/plugins/kernel-bytes.ts",
  [
    "// Assembled from kernel.wat by tools/build-plugins.ts; do not edit.",
    "const BASE64 =",
    kernel.match(/.{1,116}/g)!.map((line) => `  "${line}"`).join(" +\n") + ";",
    "",
    "/** The kernel module; see kernel.wat. */",
    "export const KERNEL_BYTES: Uint8Array<ArrayBuffer> = Uint8Array.from(atob(BASE64), (char) => char.charCodeAt(0));",
    "",
  ].join("\n"),
);

for (const file of readdirSync(join(root, "wasm-plugins/testing")).filter((name) => name.endsWith(".wat")).sort()) {
  const path = `wasm-plugins/testing/${file.slice(0, -4)}`;
  const manifest = join(root, `${path}.json`);
  const module = assemble(`${path}.wat`);
  put(`${path}.wasm`, existsSync(manifest) ? packPlugin(module, readFileSync(manifest)) : module);
}

if (withCompilers) {
  const scratch = mkdtempSync(join(tmpdir(), "build-plugins-"));
  try {
    for (const entry of readdirSync(join(root, "wasm-plugins"), { withFileTypes: true })) {
      const script = join(root, "wasm-plugins", entry.name, "build.sh");
      if (!entry.isDirectory() || !existsSync(script) || (only !== undefined && entry.name !== only)) continue;
      if (SLOW.has(entry.name) && !withSlow && only !== entry.name) {
        console.log(
          `left out: wasm-plugins/${entry.name}, which takes minutes; --slow or --only ${entry.name} builds it`,
        );
        continue;
      }
      const out = join(scratch, `${entry.name}.wasm`);
      const target = ONNX.has(entry.name) ? "onnx" : entry.name;
      const env = { ...process.env, CARGO_TARGET_DIR: join(scratch, `${target}-target`) };
      execFileSync("bash", [script, out], { stdio: "inherit", env });
      const manifest = readFileSync(join(root, "wasm-plugins", entry.name, "manifest.json"));
      put(`wasm-plugins/${entry.name}/${entry.name}.wasm`, packPlugin(readFileSync(out), manifest));
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

if (stale.length > 0) {
  console.error(
    `${stale.length} files are not what their source builds to. Run tools/build-plugins.ts and commit them.`,
  );
  process.exit(1);
}
