import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Command, Option } from "commander";
import { type Config, loadConfig } from "../config/mod.ts";
import { VERSION } from "../core/mod.ts";
import { NodeClient } from "./client.ts";
import { withExamples, withOutputOptions } from "./command.ts";
import type { CliContext } from "./context.ts";
import type { Logger } from "./logger.ts";
import { aborted } from "./node-command.ts";
import { restUrl, type RunningNode, startNode } from "./start-node.ts";
import { formatTable } from "./terminal.ts";

interface DevFlags {
  readonly dataDir?: string;
  readonly exit?: boolean;
  readonly logLevel: string;
  readonly json?: boolean;
}

/** A node of the pair and the ports that it would like. */
interface Role {
  readonly name: "provider" | "requester";
  readonly restPort: number;
  readonly rpcPorts: readonly number[];
  readonly workers: string;
}

const ROLES: readonly Role[] = [
  { name: "provider", restPort: 3000, rpcPorts: [8081, 8083], workers: "0" },
  // It sends its tasks away, so one worker is plenty.
  { name: "requester", restPort: 3001, rpcPorts: [8091, 8093], workers: "1" },
];

const GRACE_MS = 3000;

/** `velas-sphere dev` */
export function addDevCommand(program: Command, cli: CliContext): void {
  withExamples(
    withOutputOptions(program.command("dev").summary("run two nodes here and a task through both"))
      .description(
        "Start a provider and a requester node on loopback, run a task through both, say what to try next, and serve until Ctrl-C. " +
          "Both nodes run in this process and speak to each other over real sockets.",
      )
      .option("--data-dir <path>", "keep the nodes' data here (default: a temporary folder, removed at the end)")
      .addOption(
        new Option("--log-level <word>", "log of both nodes").choices(["debug", "info", "warn", "error", "silent"])
          .default("warn"),
      )
      .option("--exit", "stop after the task")
      .action((flags: DevFlags) => runDev(cli, flags)),
    ["velas-sphere dev", "until Ctrl-C"],
    ["velas-sphere dev --exit", "only the task, as a check that all is well"],
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
    const configs: Config[] = [];
    for (const role of ROLES) configs.push(await configOf(role, { dataDir, cli, logLevel: flags.logLevel }));
    log = createLogger({ ...configs[0]!.log, env: cli.env });
    const parent = log;
    const starts = await Promise.allSettled(
      configs.map((config) => startNode({ config, log: parent.child({ node: config.node.name }) })),
    );
    for (const start of starts) if (start.status === "fulfilled") nodes.push(start.value);
    for (const start of starts) if (start.status === "rejected") throw start.reason;
    if (cli.interrupted.aborted) return;
    const [provider, requester] = nodes as [RunningNode, RunningNode];
    const pair = {
      provider,
      requester,
      startMs: performance.now() - startedAt,
      dataDir,
      temporary: flags.dataDir === undefined,
    };
    const task = await runTask(pair);
    if (flags.json === true) cli.out.line(JSON.stringify(describe(pair, task)));
    else welcome(pair, task, cli);
    if (flags.exit === true) return;
    if (flags.json !== true) nextSteps(pair, cli);
    await aborted(cli.interrupted);
    if (flags.json !== true && cli.out.isTerminal) cli.out.line("\nStopping ...");
  } finally {
    await Promise.all(nodes.map((node) => node.close({ graceMs: GRACE_MS })));
    log?.flush();
    if (flags.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
  }
}

interface Pair {
  readonly provider: RunningNode;
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

async function runTask({ provider, requester }: Pair): Promise<TaskDone> {
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

/** The configuration of one node of the pair: nothing from files or environment, so that it works the same everywhere. */
async function configOf(
  role: Role,
  { dataDir, cli, logLevel }: { dataDir: string; cli: CliContext; logLevel: string },
): Promise<Config> {
  const home = join(dataDir, role.name);
  const listen = async (port: number): Promise<string> => {
    if (await isFree(port)) return `127.0.0.1:${port}`;
    cli.err.line(`${cli.err.colors.yellow("note:")} port ${port} is taken, so the ${role.name} listens on a free one`);
    return "127.0.0.1:0";
  };
  const rpc: string[] = [];
  for (const port of role.rpcPorts) rpc.push(await listen(port));
  return loadConfig({
    flags: {
      "node.name": role.name,
      "node.dataDir": home,
      "rest.listen": await listen(role.restPort),
      "rpc.listen": rpc.join(","),
      "plugins.workers": role.workers,
      "log.level": logLevel,
    },
    env: {},
    cwd: home,
    homeDir: home,
  }).config;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer().on("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

function describe({ provider, requester, startMs, dataDir }: Pair, { output, ms }: TaskDone): unknown {
  const about = ({ nodeId, rpcAddresses, restAddress }: RunningNode) => ({
    nodeId,
    rpc: rpcAddresses,
    rest: restUrl(restAddress),
  });
  return { provider: about(provider), requester: about(requester), dataDir, startMs, task: { output, ms } };
}

function welcome({ provider, requester, startMs }: Pair, { output, ms }: TaskDone, { out }: CliContext): void {
  const { bold, dim, green, cyan } = out.colors;
  out.line(
    `${bold("Velas Sphere")} ${VERSION}  ${dim(`two nodes on this machine, up in ${(startMs / 1000).toFixed(1)} s`)}\n`,
  );
  const rows = ([["provider", provider], ["requester", requester]] as const).map(([name, node]) => [
    `  ${bold(name)}`,
    dim(node.nodeId),
    `rpc ${cyan(node.rpcAddresses[0]!)}`,
    `rest ${cyan(restUrl(node.restAddress))}`,
  ]);
  for (const line of formatTable(rows)) out.line(line);
  out.line(
    `\n${green("✓")} demo greet "hello" → ${bold(`"${output}"`)}  ${
      dim(`requester → provider → plugin and back in ${ms.toFixed(1)} ms`)
    }\n`,
  );
}

function nextSteps({ provider, requester, dataDir, temporary }: Pair, { out, programName }: CliContext): void {
  const { bold, dim } = out.colors;
  const target = provider.rpcAddresses[0]!;
  const rest = restUrl(requester.restAddress);
  const steps = [
    [`curl -d '{"target":"${target}","id":"1","input":"hello"}' ${rest}/task`, "the original's call"],
    [`curl -d 'to be or not to be' '${rest}/v1/run/demo/wordcount?target=${target}'`, "raw bytes in and out"],
    [`${programName} task run demo greet you --url ${rest} --target ${target}`, "the same by command"],
    [`${restUrl(provider.restAddress)}/v1/docs`, "every call of the API"],
  ];
  out.line(bold("Try next"));
  for (const [line, meaning] of steps) out.line(`  ${line}\n    ${dim(meaning!)}`);
  const data = temporary ? "Data is temporary" : `Data is in ${dataDir}`;
  out.line(`\n${dim(`${data}. Ctrl-C stops both nodes.`)}`);
}
