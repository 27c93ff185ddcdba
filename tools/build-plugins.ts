// Builds everything that is WebAssembly: the kernel of the plugin host (into src/plugins/kernel-bytes.ts), the test plugins
// (wasm-plugins/testing/*.wat) and the Rust plugins (wasm-plugins/*/build.sh). With --check nothing is written: the built bytes are compared
// with what is checked in, and a difference is an error. With --no-rust the Rust plugins are left out.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import loadWabt from "wabt";
import { MANIFEST_SECTION } from "../src/plugins/plugin-manifest.ts";
import { SECTION, WasmWriter } from "../src/plugins/wasm-binary.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const check = process.argv.includes("--check");
const withRust = !process.argv.includes("--no-rust");
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
  const writer = new WasmWriter().bytes(assemble(`${path}.wat`));
  if (existsSync(manifest)) {
    const body = new WasmWriter().name(MANIFEST_SECTION).bytes(readFileSync(manifest)).finish();
    writer.section({ id: SECTION.custom, body });
  }
  put(`${path}.wasm`, writer.finish());
}

if (withRust) {
  const scratch = mkdtempSync(join(tmpdir(), "build-plugins-"));
  try {
    for (const entry of readdirSync(join(root, "wasm-plugins"), { withFileTypes: true })) {
      const script = join(root, "wasm-plugins", entry.name, "build.sh");
      if (!entry.isDirectory() || !existsSync(script)) continue;
      const out = join(scratch, `${entry.name}.wasm`);
      execFileSync("bash", [script, out], { stdio: "inherit" });
      put(`wasm-plugins/${entry.name}/${entry.name}.wasm`, readFileSync(out));
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
