/**
 * Compiles the AssemblyScript kernels of `src/codec/kernel/` into `src/codec/kernel-bytes.ts`. With `--check`, writes nothing and fails when
 * that file is not what the sources compile to.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { writeOrCheck } from "./generated-file.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const asc = createRequire(import.meta.url).resolve("assemblyscript/bin/asc.js");
const target = "src/codec/kernel-bytes.ts";

interface Kernel {
  readonly constant: string;
  readonly source: string;
  readonly pages: number;
  readonly features: readonly string[];
  readonly doc: string;
}

const KERNELS: readonly Kernel[] = [
  {
    constant: "GF256_RELAXED",
    source: "gf256",
    pages: 17,
    features: ["simd", "relaxed-simd"],
    doc: "`kernel/gf256.as` with relaxed SIMD.",
  },
  {
    constant: "GF256_PLAIN",
    source: "gf256",
    pages: 17,
    features: ["simd"],
    doc: "`kernel/gf256.as` with plain SIMD.",
  },
  { constant: "SHA256", source: "sha256", pages: 2, features: ["simd"], doc: "`kernel/sha256.as`." },
];

/** Compiles one kernel. The compiler wants its sources to end in .ts, which our own checks would take for TypeScript. */
function compile(kernel: Kernel, scratch: string): Uint8Array {
  const source = join(scratch, `${kernel.source}.ts`);
  const output = join(scratch, `${kernel.constant}.wasm`);
  copyFileSync(join(root, "src/codec/kernel", `${kernel.source}.as`), source);
  const pages = String(kernel.pages);
  const options = ["-O3", "--noAssert", "--runtime", "stub", "--initialMemory", pages, "--maximumMemory", pages];
  for (const feature of kernel.features) options.push("--enable", feature);
  execFileSync(process.execPath, [asc, source, "--baseDir", scratch, "--outFile", output, ...options], {
    stdio: "inherit",
  });
  return readFileSync(output);
}

/** The generated module: base64, because text is bundled, started as a worker and compiled by Deno like any other source. */
function moduleText(kernels: readonly (readonly [Kernel, Uint8Array])[]): string {
  let text = "// Compiled from kernel/*.as by tools/build-kernel.ts; do not edit.\n";
  for (const [kernel, bytes] of kernels) {
    const lines = Buffer.from(bytes).toString("base64").match(/.{1,114}/g) ?? [];
    text +=
      `\n/** ${kernel.doc} ${bytes.length} bytes of WebAssembly in base64. */\nexport const ${kernel.constant} =\n`;
    text += `${lines.map((line) => `  "${line}"`).join(" +\n")};\n`;
  }
  return text;
}

const scratch = mkdtempSync(join(tmpdir(), "velas-sphere-kernel-"));
try {
  const text = moduleText(KERNELS.map((kernel) => [kernel, compile(kernel, scratch)] as const));
  writeOrCheck(target, text, { sources: "src/codec/kernel/", tool: "tools/build-kernel.ts" });
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
