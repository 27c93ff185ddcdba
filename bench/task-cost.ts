/** What a part of the node costs a task: `POST /task` on nodes that differ in that part, or on one that changes, in turns, by their own CPU time. */
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** A kind of node; the first of those compared is what the others are held against. */
export interface Kind {
  readonly name: string;
  /** More for `velas-sphere node`. */
  readonly flags?: readonly string[];
  /** More for the runtime, such as `--import`. */
  readonly runtimeFlags?: readonly string[];
}

/** What a node is told at a reload of its configuration; the first of those compared is what the others are held against. */
export interface Setting {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
}

export interface LoadOptions {
  /** Of each round. */
  readonly requests: number;
  readonly rounds: number;
  /** How often the nodes are started: the same code takes up to a fifth more or less from one start to another. */
  readonly starts: number;
}

export interface CostOptions extends LoadOptions {
  /** Told of each node before it is stopped. */
  readonly onEnd?: (kind: number, node: LoadedNode) => Promise<void>;
}

export interface SettingOptions extends LoadOptions {
  /** Told of the node after each turn of a setting. */
  readonly onTurn?: (setting: number, node: LoadedNode) => Promise<void>;
}

export interface Cost {
  readonly perSecond: number;
  /** The node's own, for each request. */
  readonly cpuMicros: number;
  /** How far the CPU time is above the first kind's in the same round, in percent. */
  readonly cpuMorePercent: number;
  readonly rateMorePercent: number;
}

export interface LoadedNode {
  readonly rest: string;
  readonly child: ReturnType<typeof spawn>;
}

/** Within it the full batches of spans that are left go out. */
const SETTLE_MS = 200;
const CONNECTIONS = 16;
const TASK = '{"id":"1","input":"hello"}';
const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));

/** Medians of all rounds, by kind. The order of starts and turns changes, since it matters more than most parts do. */
export async function taskCosts(kinds: readonly Kind[], options: CostOptions): Promise<Cost[]> {
  const folder = mkdtempSync(join(tmpdir(), "velas-bench-"));
  const body = join(folder, "body.json");
  writeFileSync(body, TASK);
  const rounds: Round[][] = kinds.map(() => []);
  let nodes: LoadedNode[] = [];
  try {
    for (let start = 0; start < options.starts; start++) {
      const order = kinds.map((_, i) => (start + i) % kinds.length);
      nodes = [];
      for (const kind of order) nodes.push(await startNode(kinds[kind]!, join(folder, `${start}-${kind}`)));
      const run = (node: LoadedNode) => load(node, { requests: options.requests, body });
      for (const node of [...nodes, ...nodes]) await run(node); // warm-up
      for (let round = 0; round < options.rounds; round++) {
        for (let i = 0; i < order.length; i++) {
          const turn = (round + i) % order.length;
          rounds[order[turn]!]!.push(await run(nodes[turn]!));
        }
      }
      for (const [i, node] of nodes.entries()) {
        await options.onEnd?.(order[i]!, node);
        node.child.kill("SIGTERM");
      }
    }
  } finally {
    for (const { child } of nodes) child.kill("SIGTERM");
    rmSync(folder, { recursive: true, force: true });
  }
  return rounds.map((own) => costOf(own, rounds[0]!));
}

/**
 * Medians of all turns, by setting, on one node that takes the settings over at reloads. Before and after each turn of another setting the first
 * has one, and the turn is held against the mean of the two: no start of a process differs from another, and what warms up or grows meets all.
 */
export async function settingCosts(settings: readonly Setting[], options: SettingOptions): Promise<Cost[]> {
  const folder = mkdtempSync(join(tmpdir(), "velas-bench-"));
  const body = join(folder, "body.json");
  writeFileSync(body, TASK);
  const turns: Round[][] = settings.map(() => []);
  const beside: Round[][] = settings.map(() => []);
  const others = settings.map((_, i) => i).slice(1);
  let node: LoadedNode | undefined;
  try {
    for (let start = 0; start < options.starts; start++) {
      const file = join(folder, `${start}.json`);
      writeFileSync(file, JSON.stringify(settings[0]!.config));
      const running = await startNode({ name: "its settings", flags: ["--config", file] }, join(folder, `${start}`));
      node = running;
      const run = async (setting: number): Promise<Round> => {
        writeFileSync(file, JSON.stringify(settings[setting]!.config));
        const answer = await fetch(`${running.rest}/v1/config/reload`, { method: "POST" });
        const text = await answer.text();
        if (!answer.ok) throw new Error(`The setting "${settings[setting]!.name}" was not taken over: ${text}`);
        const round = await load(running, { requests: options.requests, body });
        await options.onTurn?.(setting, running);
        return round;
      };
      for (const setting of [0, ...others, 0, ...others]) await run(setting); // warm-up
      let before = await run(0);
      for (let round = 0; round < options.rounds; round++) {
        for (const setting of round % 2 === 0 ? others : others.toReversed()) {
          turns[setting]!.push(await run(setting));
          const after = await run(0);
          beside[setting]!.push(meanOf(before, after));
          turns[0]!.push(after);
          beside[0]!.push(after);
          before = after;
        }
      }
      running.child.kill("SIGTERM");
    }
  } finally {
    node?.child.kill("SIGTERM");
    rmSync(folder, { recursive: true, force: true });
  }
  return turns.map((own, setting) => costOf(own, beside[setting]!));
}

function meanOf(a: Round, b: Round): Round {
  return { perSecond: (a.perSecond + b.perSecond) / 2, cpuMicros: (a.cpuMicros + b.cpuMicros) / 2 };
}

/** Medians of rounds, each held against another. */
function costOf(own: readonly Round[], against: readonly Round[]): Cost {
  const more = (of: keyof Round) => (median(own.map((round, i) => round[of] / against[i]![of])) - 1) * 100;
  return {
    perSecond: median(own.map(({ perSecond }) => perSecond)),
    cpuMicros: median(own.map(({ cpuMicros }) => cpuMicros)),
    cpuMorePercent: more("cpuMicros"),
    rateMorePercent: more("perSecond"),
  };
}

/** A line about a kind of node. */
export function showCost({ name }: Pick<Kind, "name">, cost: Cost): string {
  return `${name.padEnd(14)} ${cost.perSecond.toFixed(0)} a second (${cost.rateMorePercent.toFixed(1)} %), ` +
    `${cost.cpuMicros.toFixed(1)} µs CPU each (${cost.cpuMorePercent.toFixed(1)} %)`;
}

/** A value that the node shows at `/metrics`, by name with labels; zero when there is none. */
export async function readMetric({ rest }: LoadedNode, name: string): Promise<number> {
  const text = await (await fetch(`${rest}/metrics`)).text();
  return Number(text.split("\n").find((line) => line.startsWith(`${name} `))?.slice(name.length) ?? 0);
}

interface Round {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

async function startNode({ name, flags = [], runtimeFlags = [] }: Kind, dataDir: string): Promise<LoadedNode> {
  const common = ["--rest-listen", "127.0.0.1:0", "--rpc-listen", "127.0.0.1:0", "--log-format", "json"];
  const command = [...runtimeFlags, main, "node", "--data-dir", dataDir, ...common, ...flags];
  const child = spawn(process.execPath, command, { stdio: ["ignore", "ignore", "pipe"] });
  for await (const line of createInterface({ input: child.stderr! })) {
    const rest = line.startsWith("{") ? JSON.parse(line).rest as string | undefined : undefined;
    if (rest !== undefined) {
      child.stderr!.resume();
      return { rest, child };
    }
  }
  throw new Error(`The node "${name}" did not start`);
}

async function load(node: LoadedNode, { requests, body }: { requests: number; body: string }): Promise<Round> {
  const before = await readMetric(node, "process_cpu_seconds_total");
  const options = ["--h1", `-n${requests}`, `-c${CONNECTIONS}`, `-d${body}`, `${node.rest}/task`];
  const { stdout } = await promisify(execFile)("h2load", options);
  const succeeded = Number(/status codes: (\d+) 2xx/.exec(stdout)?.[1]);
  if (succeeded !== requests) throw new Error(`Only ${succeeded} of ${requests} requests succeeded:\n${stdout}`);
  await sleep(SETTLE_MS);
  const cpuMicros = (await readMetric(node, "process_cpu_seconds_total") - before) * 1e6 / requests;
  return { perSecond: Number(/([\d.]+) req\/s/.exec(stdout)?.[1]), cpuMicros };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
