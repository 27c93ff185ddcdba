import { stat } from "node:fs/promises";
import type { Command } from "commander";
import { dataPaths, formatSize, type LoadedConfig, readTokenEntries } from "../config/mod.ts";
import { type Log, NodeError, silentLog } from "../core/mod.ts";
import { withExamples, withOutputOptions } from "./command.ts";
import type { CliContext } from "./context.ts";
import {
  bookFindings,
  checkDataDir,
  checkExternalPlugin,
  checkPluginFolder,
  checkPort,
  checkRuntime,
  checkSpace,
  failure,
  type Finding,
  type Verdict,
} from "./doctor-checks.ts";
import { checkOwnFiles, type CheckOwnFilesOptions } from "./doctor-files.ts";
import { EXIT } from "./exit-codes.ts";
import { loadFor, type SettingFlags, withSettingOptions } from "./settings-options.ts";
import { formatTable } from "./terminal.ts";
import type { CheckOptions } from "../storage/mod.ts";

interface DoctorFlags extends SettingFlags {
  readonly json?: boolean;
  readonly readShards?: boolean;
  readonly repair?: boolean;
}

/** `velas-sphere doctor` */
export function addDoctorCommand(program: Command, cli: CliContext): void {
  withExamples(
    withSettingOptions(withOutputOptions(program.command("doctor").summary("check that a node can run here")), {
      hidden: true,
    })
      .description(
        "Check the runtime, configuration, data directory, key, database, ports, disk and plugins, and say what to do about what is wrong. " +
          "Opens the database as a start would, unless a node has it, and proves its books: indexes and totals are what the records of tasks and " +
          "files make, and each of the node's own files has a manifest that its key opens and that agrees with its record. Proves the books of " +
          "the shards that are kept for others: every byte belongs to a shard, an upload or the dead, and the accounts are their sums. No key of " +
          "either may be anybody else's. Takes every option of velas-sphere node.",
      )
      .option("--read-shards", "read every stored block and compare its checksum")
      .option("--repair", "mend what can be mended without losing anything: indexes, accounts, orphans, quarantine")
      .action(async (flags: DoctorFlags) => {
        const findings = await examine(cli, flags);
        const failed = findings.some(({ verdict }) => verdict === "fail");
        if (flags.json === true) cli.out.line(JSON.stringify({ ok: !failed, checks: findings }));
        else show(findings, cli);
        if (failed) cli.exitCode = EXIT.local;
      }),
    ["velas-sphere doctor", "exit code 12 when something fails"],
    ["velas-sphere doctor --data-dir ./data --json", "for programs"],
    ["velas-sphere doctor --read-shards --repair", "after a disk had a fault"],
  );
}

async function examine(
  cli: CliContext,
  { readShards = false, repair = false, ...flags }: DoctorFlags,
): Promise<Finding[]> {
  const { assertRuntimeSupported } = await import("../rpc/mod.ts");
  const findings = [checkRuntime(assertRuntimeSupported)];
  let loaded: LoadedConfig;
  try {
    loaded = loadFor(cli, flags);
  } catch (error) {
    if (!(error instanceof NodeError)) throw error;
    return [...findings, {
      name: "configuration",
      verdict: "fail",
      detail: error.message,
      cure: "Mend it, then run this again",
    }];
  }
  const { config } = loaded;
  const { dataDir } = config.node;
  const paths = dataPaths(dataDir);
  findings.push(await checkConfig(loaded), await checkDataDir(dataDir), await checkSpace(dataDir));
  findings.push(await checkKey(dataDir, config.node.keyPassphrase));
  const database = await checkDatabase(paths.database, { dataDir, passphrase: config.node.keyPassphrase, repair });
  findings.push(...database.findings);
  if (!database.locked) findings.push(...await checkShards(paths.shards, { readBodies: readShards, repair }));
  if (database.locked) {
    findings.push({ name: "ports", verdict: "ok", detail: "not tried, since the node that runs here has them" });
  } else {
    for (const address of config.rpc.listen) findings.push(await checkPort("rpc port", address));
    findings.push(await checkPort("rest port", config.rest.listen));
  }
  if (config.rest.scopedTokensFile !== undefined) findings.push(checkTokens(config.rest.scopedTokensFile));
  findings.push(await checkPluginFolder(paths.plugins));
  findings.push(...await Promise.all(config.plugins.external.map(checkExternalPlugin)));
  return findings;
}

async function checkConfig({ file, sources, notices }: LoadedConfig): Promise<Finding> {
  const name = "configuration";
  if (file === undefined) return { name, verdict: "ok", detail: "no file, so defaults, variables and flags" };
  const holdsSecret = ["rest.token", "node.keyPassphrase"].some((key) => sources.get(key)?.name === file);
  const { mode } = await stat(file);
  if (holdsSecret && (mode & 0o077) !== 0) {
    return {
      name,
      verdict: "warn",
      detail: `${file} holds a secret and may be read by others`,
      cure: `chmod 600 ${file}`,
    };
  }
  return notices.length === 0
    ? { name, verdict: "ok", detail: file }
    : { name, verdict: "warn", detail: notices.join("; "), cure: "docs/configuration.md has the keys of this version" };
}

/** The tokens of REST can be read, and which of them are over. */
function checkTokens(path: string): Finding {
  const name = "rest tokens";
  try {
    const entries = readTokenEntries(path);
    const over = entries.filter(({ expiresAt }) => expiresAt !== undefined && Date.parse(expiresAt) <= Date.now());
    if (over.length === 0) return { name, verdict: "ok", detail: `${entries.length} in ${path}` };
    const names = over.map((entry) => entry.name).join(", ");
    return { name, verdict: "warn", detail: `expired: ${names}`, cure: `Remove their entries from ${path}` };
  } catch (error) {
    return failure(name, error);
  }
}

async function checkKey(dataDir: string, passphrase: string | undefined): Promise<Finding> {
  const name = "node key";
  const { loadNodeKey } = await import("../storage/node-key.ts");
  try {
    const loaded = await loadNodeKey({ dataDir, passphrase });
    if (loaded === undefined) return { name, verdict: "ok", detail: "will be made at the first start" };
    return { name, verdict: "ok", detail: `${loaded.key.nodeId}${loaded.encrypted ? ", encrypted" : ""}` };
  } catch (error) {
    return failure(name, error);
  }
}

/** Whether the database opens, and whether what it says of this node's own files belongs together. */
async function checkDatabase(
  path: string,
  options: CheckOwnFilesOptions,
): Promise<{ findings: readonly Finding[]; locked: boolean }> {
  const name = "database";
  if (await stat(path).catch(() => undefined) === undefined) {
    return { findings: [{ name, verdict: "ok", detail: "will be made at the first start" }], locked: false };
  }
  const { openStore } = await import("../storage/mod.ts");
  const warnings: string[] = [];
  const log: Log = { ...silentLog, warn: (message) => void warnings.push(message) };
  try {
    const store = await openStore(path, { log });
    try {
      const { tasks, requests, files, problems } = await store.check(options);
      const findings = bookFindings(problems, { name, repair: options.repair, cure: CURE });
      if (warnings.length > 0) findings.unshift({ name, verdict: "warn", detail: warnings.join("; ") });
      if (findings.length === 0) {
        const detail = `${tasks} tasks, ${requests} sent elsewhere, ${files} files; the books are right`;
        findings.push({ name, verdict: "ok", detail });
      }
      return { findings: [...findings, ...await checkOwnFiles(store, options)], locked: false };
    } finally {
      await store.close();
    }
  } catch (error) {
    if (error instanceof NodeError && error.code === "storage_locked") {
      return {
        findings: [{ name, verdict: "ok", detail: "in use: a node runs on this data directory" }],
        locked: true,
      };
    }
    return { findings: [failure(name, error)], locked: false };
  }
}

const CURE =
  "Keep a copy of the folder and find out what wrote there; velas-sphere restore of a backup brings keys and files back";

/** The books of the shards that this node keeps for others. */
async function checkShards(path: string, options: CheckOptions): Promise<Finding[]> {
  const name = "shards";
  if (await stat(path).catch(() => undefined) === undefined) {
    return [{ name, verdict: "ok", detail: "none are kept for others yet" }];
  }
  const { openShardStore } = await import("../storage/mod.ts");
  try {
    const store = await openShardStore(path);
    try {
      const { shards, bytes, uploadBytes, problems } = await store.check(options);
      const uploads = uploadBytes === 0 ? "" : `, ${formatSize(uploadBytes)} of interrupted uploads`;
      const detail = `${shards} of ${formatSize(bytes)}${uploads}; ${
        options.readBodies ? "all blocks have their checksums" : "the books are right"
      }`;
      if (problems.length === 0) return [{ name, verdict: "ok", detail }];
      return bookFindings(problems, { name, repair: options.repair, cure: CURE });
    } finally {
      await store.close();
    }
  } catch (error) {
    return [failure(name, error)];
  }
}

function show(findings: readonly Finding[], { out }: CliContext): void {
  const { green, yellow, red, bold, dim } = out.colors;
  const paint: Record<Verdict, (text: string) => string> = { ok: green, warn: yellow, fail: red };
  const rows = findings.map(({ name, verdict, detail }) => [paint[verdict](verdict), name, detail]);
  formatTable(rows).forEach((line, i) => {
    out.line(line);
    const { cure } = findings[i]!;
    if (cure !== undefined) out.line(dim(`      -> ${cure}`));
  });
  const count = (verdict: Verdict): number => findings.filter((each) => each.verdict === verdict).length;
  if (count("fail") > 0) out.line(bold(red(`\n${count("fail")} of ${findings.length} checks failed.`)));
  else out.line(bold(`\nA node can run here${count("warn") > 0 ? `; ${count("warn")} things to look at` : ""}.`));
}
