/**
 * Compiles nghttp2 and `src/http2/engine/engine.c` into `src/http2/engine-bytes.ts`. With `--check`, writes nothing and fails when that file
 * is not what the sources compile to. Needs Cargo, which gets the sources of nghttp2, and of Debian's packages clang-19, lld-19, wasi-libc and
 * libclang-rt-19-dev-wasm32.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeOrCheck } from "./generated-file.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const engine = join(root, "src/http2/engine");
const target = "src/http2/engine-bytes.ts";

/** Files of nghttp2 that the engine has no use for, or has others for. */
const LEFT_OUT = new Set(["nghttp2_alpn.c", "nghttp2_debug.c", "nghttp2_time.c"]);

interface Package {
  readonly name: string;
  readonly version: string;
  readonly manifest_path: string;
}

/** The folder and the version of nghttp2's sources, which Cargo has fetched. */
function fetchSources(): { readonly folder: string; readonly version: string } {
  const manifest = ["--locked", "--manifest-path", join(engine, "Cargo.toml")];
  const metadata = execFileSync("cargo", ["metadata", "--format-version", "1", ...manifest], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const { packages } = JSON.parse(metadata) as { readonly packages: readonly Package[] };
  const { manifest_path, version } = packages.find(({ name }) => name === "libnghttp2-sys")!;
  return { folder: join(dirname(manifest_path), "nghttp2/lib"), version: version.split("+")[1]! };
}

/** Compiles everything into one module. */
function compile(scratch: string): { readonly bytes: Uint8Array; readonly version: string } {
  const { folder, version } = fetchSources();
  const [major, minor, patch] = version.split(".").map(Number) as [number, number, number];
  mkdirSync(join(scratch, "nghttp2"));
  writeFileSync(
    join(scratch, "nghttp2/nghttp2ver.h"),
    readFileSync(join(folder, "includes/nghttp2/nghttp2ver.h.in"), "utf8")
      .replace("@PACKAGE_VERSION@", version)
      .replace("@PACKAGE_VERSION_NUM@", `0x${((major << 16) | (minor << 8) | patch).toString(16).padStart(6, "0")}`),
  );
  const sources = readdirSync(folder).filter((name) => name.endsWith(".c") && !LEFT_OUT.has(name)).sort();
  const output = join(scratch, "engine.wasm");
  execFileSync("clang-19", [
    ...["--target=wasm32-wasi", "-mexec-model=reactor", "-O3", "-mbulk-memory", "-DNDEBUG", "-DNGHTTP2_STATICLIB"],
    ...["-DHAVE_NETINET_IN_H", "-DHAVE_ARPA_INET_H", "-DHAVE_TIME_H", "-ffunction-sections", "-fdata-sections"],
    ...["-I", join(folder, "includes"), "-I", folder, "-I", scratch],
    ...["-fuse-ld=/usr/bin/wasm-ld-19", "-Wl,--gc-sections,--strip-all,--no-entry,--max-memory=536870912"],
    ...["-o", output, join(engine, "engine.c"), ...sources.map((name) => join(folder, name))],
  ], { stdio: "inherit" });
  return { bytes: readFileSync(output), version };
}

/** The generated module: base64, because text is bundled and compiled by Deno like any other source. */
function moduleText({ bytes, version }: ReturnType<typeof compile>): string {
  const lines = Buffer.from(bytes).toString("base64").match(/.{1,114}/g) ?? [];
  return `// Compiled from engine/engine.c and nghttp2 ${version} by tools/build-http2.ts; do not edit.
//
// Copyright (c) 2012, 2014, 2015, 2016 Tatsuhiro Tsujikawa, (c) 2012, 2014, 2015, 2016 nghttp2 contributors, and, for functions of wasi-libc,
// (c) 2005-2019 Rich Felker and other contributors of musl: under the MIT License, whose terms are those in LICENSE at the top of this project.

/** ${bytes.length} bytes of WebAssembly in base64. */
export const ENGINE =
${lines.map((line) => `  "${line}"`).join(" +\n")};
`;
}

const scratch = mkdtempSync(join(tmpdir(), "velas-sphere-http2-"));
try {
  const text = moduleText(compile(scratch));
  writeOrCheck(target, text, { sources: "src/http2/engine/", tool: "tools/build-http2.ts" });
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
