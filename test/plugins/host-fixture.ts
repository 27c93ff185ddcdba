import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { noMetrics, silentLog } from "../../src/core/mod.ts";
import { openPluginHost } from "../../src/plugins/mod.ts";
import type { PluginHostOptions, Plugins } from "../../src/plugins/mod.ts";
import type { TestScope } from "../testing.ts";

/** A module of wasm-plugins/, such as `testing/contract`. */
export function wasm(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(`../../wasm-plugins/${path}.wasm`, import.meta.url)));
}

/** A folder that is removed after the test. */
export async function scratchFolder(t: TestScope): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "velas-plugins-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A host on a folder of its own, with the named modules in it; closed after the test. */
export async function openHost(
  t: TestScope,
  { modules = [], ...options }: Partial<PluginHostOptions> & { modules?: readonly string[] } = {},
): Promise<Plugins> {
  const folder = options.folder ?? await scratchFolder(t);
  for (const path of modules) await writeFile(join(folder, `${basename(path)}.wasm`), wasm(path));
  const host = await openPluginHost({
    folder,
    defaultPlugin: "demo",
    workers: 2,
    maxModuleBytes: 32 << 20,
    maxInputBytes: 16 << 20,
    allowUrlInstall: true,
    external: [],
    log: silentLog,
    metrics: noMetrics,
    ...options,
  });
  t.after(() => host.close());
  return host;
}
