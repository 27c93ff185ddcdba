import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Command, Option } from "commander";
import type { Config } from "../config/mod.ts";
import { NodeError, VERSION } from "../core/mod.ts";
import { NodeClient } from "./client.ts";
import { withExamples, withOutputOptions } from "./command.ts";
import type { CliContext } from "./context.ts";
import { externalPlugins, GRACE_MS, type Role, startRole } from "./dev-config.ts";
import type { FileJson } from "./file-view.ts";
import type { Logger } from "./logger.ts";
import { aborted } from "./node-command.ts";
import { restUrl, type RunningNode, startNode } from "./start-node.ts";
import { formatTable } from "./terminal.ts";

interface DevFlags {
  readonly dataDir?: string;
  readonly exit?: boolean;
  readonly paid?: "always" | "if-possible";
  readonly free?: boolean;
  readonly pluginsExternal?: string;
  readonly logLevel: string;
  readonly json?: boolean;
}

const PROVIDER: Role = { name: "provider", restPort: 3000, rpcPorts: [8081, 8083], workers: "0" };
/** With the provider six nodes keep shards: what the default policy, 4+2, wants. They run no tasks. */
const STORES: readonly Role[] = Array.from(
  { length: 5 },
  (_, i) => ({ name: `store-${i + 2}`, restPort: 0, rpcPorts: [0], workers: "1" }),
);
/** It sends its tasks away, so one worker is plenty. */
const REQUESTER: Role = { name: "requester", restPort: 3001, rpcPorts: [8091, 8093], workers: "1" };

/** `velas-sphere dev` */
export function addDevCommand(program: Command, cli: CliContext): void {
  withExamples(
    withOutputOptions(program.command("dev").summary("run a small network here, a task and a file through it"))
      .description(
        "Start seven nodes on loopback, six that keep shards and a requester, run a task on one and keep a file on all six, say what to try next, and " +
          "serve until Ctrl-C. All run in this process and speak to each other over real sockets.",
      )
      .option("--data-dir <path>", "keep the nodes' data here (default: a temporary folder, removed at the end)")
      .addOption(
        new Option("--log-level <word>", "log of the nodes").choices(["debug", "info", "warn", "error", "silent"])
          .default("warn"),
      )
      .addOption(
        new Option(
          "--paid [when]",
          "with money: a local chain (anvil), three providers with different prices, and a requester; if-possible: free of charge where anvil does not run",
        ).choices(["always", "if-possible"]).preset("always"),
      )
      .option("--free", "without money, whatever --paid says")
      .option("--plugins-external <list>", "plugins outside the first provider, as velas-sphere node takes them")
      .option("--exit", "stop after the task and the file")
      .action(async (flags: DevFlags) => {
        if (flags.paid !== undefined && flags.free !== true) {
          const { runPaidDev } = await import("./dev-paid.ts");
          if (await runPaidDev(cli, { ...flags, orNot: flags.paid === "if-possible" })) return;
        }
        await runDev(cli, flags);
      }),
    ["velas-sphere dev", "until Ctrl-C"],
    ["velas-sphere dev --paid", "the same for pay, with balances before and after"],
    [
      `velas-sphere dev --plugins-external '[{"name":"mine","command":["./mine/run.sh"]}]'`,
      "with a plugin of yours, which tasks may name",
    ],
    ["velas-sphere dev --exit", "only the task and the file, as a check that all is well"],
  );
}

async function runDev(cli: CliContext, flags: DevFlags): Promise<void> {
  const dataDir = flags.dataDir === undefined
    ? await mkdtemp(join(tmpdir(), "velas-sphere-dev-"))
    : resolve(cli.cwd, flags.dataDir);
  const { createLogger } = await import("./logger.ts");
  const nodes: RunningNode[] = [];
  let log: Logger | undefined;
  cli.onFault = (error) => {
    log?.error("The nodes stop for a fault that nothing caught", { error });
    log?.flush();
  };
  try {
    const startedAt = performance.now();
    const start = (config: Config) => {
      log ??= createLogger({ ...config.log, env: cli.env });
      return startNode({ config, log: log.child({ node: config.node.name }) });
    };
    const options = { dataDir, cli, logLevel: flags.logLevel, start };
    const starts = await Promise.allSettled(
      [PROVIDER, ...STORES].map((role) =>
        startRole(role, { ...options, flags: role === PROVIDER ? externalPlugins(flags) : {} })
      ),
    );
    for (const each of starts) if (each.status === "fulfilled") nodes.push(each.value);
    for (const each of starts) if (each.status === "rejected") throw each.reason;
    const providers = [...nodes];
    const known = { "requester.providers": providers.map(({ rpcAddresses }) => rpcAddresses[0]!).join(",") };
    nodes.push(await startRole(REQUESTER, { ...options, flags: known }));
    if (cli.interrupted.aborted) return;
    const swarm: Swarm = {
      provider: providers[0]!,
      stores: providers.slice(1),
      requester: nodes.at(-1)!,
      startMs: performance.now() - startedAt,
      dataDir,
      temporary: flags.dataDir === undefined,
    };
    const done = { task: await runTask(swarm), file: await keepFile(swarm) };
    if (flags.json === true) cli.out.line(JSON.stringify(describe(swarm, done)));
    else welcome(swarm, done, cli);
    if (flags.exit === true) return;
    if (flags.json !== true) nextSteps(swarm, cli);
    await aborted(cli.interrupted);
    if (flags.json !== true && cli.out.isTerminal) cli.out.line("\nStopping ...");
  } finally {
    await Promise.all(nodes.map((node) => node.close({ graceMs: GRACE_MS })));
    log?.flush();
    if (flags.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
  }
}

interface Swarm {
  readonly provider: RunningNode;
  /** The other nodes that keep shards. */
  readonly stores: readonly RunningNode[];
  readonly requester: RunningNode;
  readonly startMs: number;
  readonly dataDir: string;
  readonly temporary: boolean;
}

interface TaskDone {
  readonly output: string;
  /** The first task warms everything up; the second is what a task takes. */
  readonly ms: number;
}

interface FileDone {
  readonly id: string;
  readonly bytes: number;
  readonly shards: number;
  readonly ms: number;
}

/** What was tried when all nodes were up. */
interface Done {
  readonly task: TaskDone;
  readonly file: FileDone;
}

async function runTask({ provider, requester }: Swarm): Promise<TaskDone> {
  const client = new NodeClient({ url: restUrl(requester.restAddress) });
  const run = () =>
    client.json<{ output: string }>("POST", "/v1/tasks/run", {
      json: { plugin: "demo", function: "greet", input: "hello", target: provider.rpcAddresses[0] },
    });
  await run();
  const startedAt = performance.now();
  const { output } = await run();
  return { output, ms: performance.now() - startedAt };
}

/** Puts a file over the six nodes, reads it back, and compares. */
async function keepFile({ requester }: Swarm): Promise<FileDone> {
  const client = new NodeClient({ url: restUrl(requester.restAddress) });
  const text = "Kept on six nodes, any four of which give it back.\n".repeat(1000);
  const startedAt = performance.now();
  const file = await client.json<FileJson>("POST", "/v1/files", {
    query: { name: "hello.txt" },
    body: Buffer.from(text),
  });
  const answer = await client.open("GET", `/v1/files/${file.id}/content`);
  let back = "";
  for await (const piece of answer.body.setEncoding("utf8") as AsyncIterable<string>) back += piece;
  if (back !== text) {
    throw new NodeError(
      "data_corrupt",
      "The file that was read back is not the one that was put: this is a fault of the software",
    );
  }
  const { dataShards, parityShards } = file.policy;
  return { id: file.id, bytes: file.sizeBytes, shards: dataShards + parityShards, ms: performance.now() - startedAt };
}

function describe({ provider, stores, requester, startMs, dataDir }: Swarm, done: Done): unknown {
  const about = ({ nodeId, rpcAddresses, restAddress }: RunningNode) => ({
    nodeId,
    rpc: rpcAddresses,
    rest: restUrl(restAddress),
  });
  return {
    provider: about(provider),
    stores: stores.map(about),
    requester: about(requester),
    dataDir,
    startMs,
    ...done,
  };
}

function welcome({ provider, stores, requester, startMs }: Swarm, { task, file }: Done, { out }: CliContext): void {
  const { bold, dim, green, cyan } = out.colors;
  out.line(
    `${bold("Velas Sphere")} ${VERSION}  ${
      dim(`${stores.length + 2} nodes on this machine, up in ${(startMs / 1000).toFixed(1)} s`)
    }\n`,
  );
  const rows = ([["provider", provider], ["requester", requester]] as const).map(([name, node]) => [
    `  ${bold(name)}`,
    dim(node.nodeId),
    `rpc ${cyan(node.rpcAddresses[0]!)}`,
    `rest ${cyan(restUrl(node.restAddress))}`,
  ]);
  for (const line of formatTable(rows)) out.line(line);
  out.line(dim(`  and ${stores.length} more that keep shards`));
  out.line(
    `\n${green("✓")} demo greet "hello" → ${bold(`"${task.output}"`)}  ${
      dim(`requester → provider → plugin and back in ${task.ms.toFixed(1)} ms`)
    }`,
  );
  out.line(
    `${green("✓")} hello.txt → ${bold(`${file.shards} shards`)}  ${
      dim(`encrypted, spread, on disk at ${file.shards} nodes, and read back in ${file.ms.toFixed(0)} ms`)
    }\n`,
  );
}

function nextSteps({ provider, requester, dataDir, temporary }: Swarm, { out, programName }: CliContext): void {
  const { bold, dim } = out.colors;
  const target = provider.rpcAddresses[0]!;
  const rest = restUrl(requester.restAddress);
  const steps = [
    [`curl -d '{"target":"${target}","id":"1","input":"hello"}' ${rest}/task`, "the original's call"],
    [`curl -d 'to be or not to be' '${rest}/v1/run/demo/wordcount?target=${target}'`, "raw bytes in and out"],
    [`${programName} task run demo greet you --url ${rest} --target ${target}`, "the same by command"],
    [`curl -T README.md ${rest}/v1/files/README.md`, "keep a file of yours on six nodes"],
    [`curl -r 0-49 ${rest}/v1/files/hello.txt`, "read the beginning of one"],
    [`${programName} file health hello.txt --url ${rest}`, "see where its shards are"],
    [`${restUrl(provider.restAddress)}/v1/docs`, "every call of the API"],
  ];
  out.line(bold("Try next"));
  for (const [line, meaning] of steps) out.line(`  ${line}\n    ${dim(meaning!)}`);
  const data = temporary ? "Data is temporary" : `Data is in ${dataDir}`;
  out.line(`\n${dim(`${data}. Ctrl-C stops all nodes.`)}`);
}
