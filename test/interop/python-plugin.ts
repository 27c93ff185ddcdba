import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Plugins } from "../../src/plugins/mod.ts";
import { openHost } from "../plugins/host-fixture.ts";
import type { TestScope } from "../testing.ts";

const FOLDER = fileURLToPath(new URL("../../grpc-plugins/", import.meta.url));
const PYTHON = `${FOLDER}onnx-python/.venv/bin/python`;

/** What is opened beside the plugin in Python. */
export interface PythonOptions {
  /** Of its command line. */
  readonly options?: readonly string[];
  /** Of `wasm-plugins/`, to compare with. */
  readonly modules?: readonly string[];
}

/** A host with the plugin of `grpc-plugins/NAME`, a process of its own that is ended with the test. */
export async function openPython(t: TestScope, name: string, beside: PythonOptions = {}): Promise<Plugins> {
  const address = await serve(t, name, beside.options ?? []);
  const external = [{ name, address, protocol: "velas" }] as const;
  return await openHost(t, { modules: beside.modules ?? [], workers: 1, external });
}

async function serve(t: TestScope, name: string, options: readonly string[]): Promise<string> {
  assert(existsSync(PYTHON), `${PYTHON} is not there: run grpc-plugins/onnx-python/build.sh first`);
  const child = spawn(PYTHON, [`${FOLDER}${name}/server.py`, "--listen", "127.0.0.1:0", ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: string[] = [];
  const output = createInterface({ input: child.stdout });
  output.on("line", (line) => lines.push(line));
  const ended = once(output, "close");
  t.after(async () => {
    child.kill("SIGTERM");
    await ended;
    // By its word, since Deno reports whoever was sent a signal as killed by it.
    assert.equal(lines.at(-1), `${name} has ended`);
  });
  await Promise.race([once(output, "line"), ended]);
  const line = lines[0] ?? "it ended without a word";
  const address = /listens on (\S+)$/.exec(line)?.[1];
  assert(address !== undefined, line);
  return address;
}
