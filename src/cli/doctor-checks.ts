import { access, constants, readdir, rm, stat, statfs, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { type ExternalPlugin, parseAddress } from "../config/mod.ts";
import { closeServer, isDeno, NodeError } from "../core/mod.ts";
import { checkGrpcHealth } from "./grpc-health.ts";
import { runtimeName } from "./info-commands.ts";

export type Verdict = "ok" | "warn" | "fail";

/** What one check found. */
export interface Finding {
  readonly name: string;
  readonly verdict: Verdict;
  readonly detail: string;
  /** What to do about it. */
  readonly cure?: string;
}

/** A check that threw. The errors of what it looks at say their cure themselves; others are faults of the program. */
export function failure(name: string, error: unknown): Finding {
  if (!(error instanceof NodeError)) throw error;
  return { name, verdict: "fail", detail: error.message };
}

/** Problems that are shown one by one. */
const MAX_SHOWN = 20;

/** What checks of books found: mended ones are warnings, and what cannot be mended has the cure that is given. */
export function bookFindings(
  problems: readonly { readonly message: string; readonly repairable: boolean }[],
  { name, repair, cure }: { readonly name: string; readonly repair: boolean; readonly cure: string },
): Finding[] {
  const findings = problems.slice(0, MAX_SHOWN).map(({ message, repairable }): Finding => {
    const mended = repair && repairable;
    return {
      name,
      verdict: mended ? "warn" : "fail",
      detail: mended ? `mended: ${message}` : message,
      ...(!mended && { cure: repairable ? "velas-sphere doctor --repair" : cure }),
    };
  });
  if (problems.length <= MAX_SHOWN) return findings;
  return [...findings, { name, verdict: "warn", detail: `and ${problems.length - MAX_SHOWN} more` }];
}

const LOW_SPACE_BYTES = 2 ** 30; // 1 GiB
const NO_SPACE_BYTES = 64 * 2 ** 20; // 64 MiB
const OTHERS = 0o077;
const PLUGIN_TIMEOUT_MS = 2000;

/** The runtime is one that is tested. `assertSupported` throws on one with a known fault. */
export function checkRuntime(assertSupported: () => void): Finding {
  const detail = runtimeName();
  try {
    assertSupported();
  } catch (error) {
    return { name: "runtime", verdict: "fail", detail, cure: (error as Error).message };
  }
  const major = Number(process.versions.node.split(".")[0]);
  if (!isDeno && major < 24) return { name: "runtime", verdict: "fail", detail, cure: "Use Node 24" };
  const tested = isDeno ? detail.startsWith("Deno 2.8.") : major === 24;
  return tested
    ? { name: "runtime", verdict: "ok", detail }
    : { name: "runtime", verdict: "warn", detail, cure: "Node 24 and Deno 2.8 are the tested runtimes" };
}

/** The data directory is there, or can be made, is writable, and is its owner's alone. */
export async function checkDataDir(dataDir: string): Promise<Finding> {
  const name = "data directory";
  const found = await stat(dataDir).catch(() => undefined);
  if (found === undefined) {
    const parent = await nearestFolder(dirname(dataDir));
    const writable = await access(parent, constants.W_OK).then(() => true, () => false);
    return writable ? { name, verdict: "ok", detail: `${dataDir} (will be made at the first start)` } : {
      name,
      verdict: "fail",
      detail: `${dataDir} cannot be made`,
      cure: `Let this user write to ${parent}, or set node.dataDir`,
    };
  }
  if (!found.isDirectory()) {
    return { name, verdict: "fail", detail: `${dataDir} is no folder`, cure: "Set node.dataDir to a folder" };
  }
  const probe = join(dataDir, `.doctor-${process.pid}`);
  try {
    await writeFile(probe, "");
    await rm(probe);
  } catch (error) {
    const code = String((error as { code?: unknown }).code);
    return {
      name,
      verdict: "fail",
      detail: `${dataDir} cannot be written (${code})`,
      cure: "Let this user write there, or set node.dataDir",
    };
  }
  if (process.platform !== "win32" && (found.mode & OTHERS) !== 0) {
    return {
      name,
      verdict: "warn",
      detail: `${dataDir} may be read by others (mode ${(found.mode & 0o777).toString(8)})`,
      cure: `chmod 700 ${dataDir}`,
    };
  }
  return { name, verdict: "ok", detail: dataDir };
}

/** The disk of the data directory has room. */
export async function checkSpace(dataDir: string): Promise<Finding> {
  const name = "disk space";
  try {
    const { bavail, bsize } = await statfs(await nearestFolder(dataDir));
    const free = bavail * bsize;
    const detail = `${(free / 2 ** 30).toFixed(2)} GiB free`;
    if (free < NO_SPACE_BYTES) {
      return { name, verdict: "fail", detail, cure: "Free some space: the node cannot store tasks" };
    }
    if (free < LOW_SPACE_BYTES) return { name, verdict: "warn", detail, cure: "Free some space soon" };
    return { name, verdict: "ok", detail };
  } catch (error) {
    return { name, verdict: "warn", detail: `unknown (${(error as Error).message})` };
  }
}

/** The addresses can be listened on. */
export async function checkPort(name: string, address: string): Promise<Finding> {
  const { host, port } = parseAddress(address)!;
  const code = await new Promise<string | undefined>((resolve) => {
    const probe = createServer().on("error", (error: { code?: string }) => resolve(error.code ?? "unknown"));
    probe.listen(port, host, () => void closeServer(probe).then(() => resolve(undefined)));
  });
  if (code === undefined) return { name, verdict: "ok", detail: `${address} is free` };
  const cures: Record<string, string> = {
    EADDRINUSE: "Stop what has it (ss -ltnp shows it), or choose another port",
    EACCES: "Choose a port from 1024 up, or allow the program to take this one",
    EADDRNOTAVAIL: "Choose an address that this machine has",
    ENOTFOUND: "Choose an address that this machine has",
  };
  return {
    name,
    verdict: "fail",
    detail: `${address} cannot be listened on (${code})`,
    cure: cures[code] ?? "Choose another address",
  };
}

/** The plugin folder can be read. */
export async function checkPluginFolder(folder: string): Promise<Finding> {
  const name = "plugins";
  try {
    const modules = (await readdir(folder)).filter((file) => file.endsWith(".wasm"));
    return { name, verdict: "ok", detail: `${modules.length} installed in ${folder}` };
  } catch (error) {
    const code = String((error as { code?: unknown }).code);
    if (code === "ENOENT") return { name, verdict: "ok", detail: "none installed" };
    return {
      name,
      verdict: "fail",
      detail: `${folder} cannot be read (${code})`,
      cure: "Make it a folder that this user can read",
    };
  }
}

/** An external plugin answers. One that has no health service is taken as well when it speaks gRPC at all. */
export async function checkExternalPlugin(
  { name, address, command = [], cwd }: Pick<ExternalPlugin, "name" | "address" | "command" | "cwd">,
): Promise<Finding> {
  const check = `plugin ${name}`;
  if (address === undefined) return await checkProgram(check, { program: command[0]!, cwd });
  try {
    await checkGrpcHealth(address, { timeoutMs: PLUGIN_TIMEOUT_MS });
    return { name: check, verdict: "ok", detail: `${address} is serving` };
  } catch (error) {
    const unimplemented = error instanceof NodeError && /gRPC status 12\b/.test(error.message);
    if (unimplemented) return { name: check, verdict: "ok", detail: `${address} answers, and has no health service` };
    return {
      name: check,
      verdict: "warn",
      detail: (error as Error).message,
      cure: "Start the plugin; the node connects by itself",
    };
  }
}

/** The program of a plugin that the node runs is there. */
async function checkProgram(
  name: string,
  { program, cwd = "." }: { program: string; cwd: string | undefined },
): Promise<Finding> {
  const folders = program.includes("/") ? [resolve(cwd)] : (process.env["PATH"] ?? "").split(":");
  for (const folder of folders) {
    const path = resolve(folder, program);
    if (await access(path, constants.X_OK).then(() => true, () => false)) {
      return { name, verdict: "ok", detail: `the node runs ${path}` };
    }
  }
  return {
    name,
    verdict: "warn",
    detail: `there is no program "${program}" to run`,
    cure: "Install it, or set plugins.external[].command to where it is",
  };
}

/** The folder itself or the nearest one above it that is there. */
async function nearestFolder(path: string): Promise<string> {
  for (let each = path;; each = dirname(each)) {
    const found = await stat(each).catch(() => undefined);
    if (found?.isDirectory() || each === dirname(each)) return each;
  }
}
