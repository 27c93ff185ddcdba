/**
 * What tracing costs a task: `POST /task` at 16 keep-alive connections on one node with a collector, which reads its configuration anew
 * between turns: it traces nothing, every call, or up to 100 calls a second, the default. Before and after each turn in which it traces is one in
 * which it does not, and the two are held against each other: from one process to another the same code differs by more than tracing costs. Then,
 * in processes of their own, a node that has a collector but traces nothing, beside one that has none.
 *
 * The collector only takes the bytes; it and h2load share the machine with the node, so the node's own CPU time for each task, which includes
 * that of sending its spans, says more than the rate. The shares are medians of the turns.
 *
 *     node bench/tracing.ts [--requests 10000] [--rounds 8] [--starts 3]
 *
 * Fails when one request fails, or calls that should be traced are not.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { parseArgs } from "node:util";
import { asked } from "./asked.ts";
import { type LoadedNode, readMetric, settingCosts, showCost, taskCosts } from "./task-cost.ts";

const { values: args } = parseArgs({
  options: {
    requests: { type: "string", default: "10000" },
    rounds: { type: "string", default: "8" },
    starts: { type: "string", default: "3" },
  },
});
const MOST_PERCENT = 10;
const SPANS_A_TASK = 2;

const collector = createServer((request, response) => {
  request.resume().on("end", () => response.end());
});
await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
const otlpUrl = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
const settings = [
  { name: "traces nothing", config: { tracing: { otlpUrl, samplePercent: 0 } } },
  { name: "every call", config: { tracing: { otlpUrl, callsPerSecond: 1_000_000 } } },
  { name: "as by default", config: { tracing: { otlpUrl } } },
];
const load = { requests: Number(args.requests), rounds: Number(args.rounds), starts: Number(args.starts) };

/** Spans that were sent or given up. */
async function spansOf(node: LoadedNode): Promise<number> {
  let spans = 0;
  for (const result of ["exported", "dropped", "refused"]) {
    spans += await readMetric(node, `velas_trace_spans_total{result="${result}"}`);
  }
  return spans;
}

try {
  const turns = settings.map(() => 0);
  const spans = settings.map(() => 0);
  const seen = new WeakMap<LoadedNode, number>();
  const costs = await settingCosts(settings, {
    ...load,
    async onTurn(setting, node) {
      const all = await spansOf(node);
      turns[setting]!++;
      spans[setting]! += all - (seen.get(node) ?? 0);
      seen.set(node, all);
    },
  });
  console.log(
    `POST /task, turns of ${load.requests} requests at 16 connections, ${load.rounds} of each kind at each of ${load.starts} starts`,
  );
  for (const [i, setting] of settings.entries()) {
    const each = spans[i]! / turns[i]! / load.requests;
    console.log(`${showCost(setting, costs[i]!)}, ${each.toFixed(2)} spans a task`);
    if (i > 0) console.log(`  percent more CPU ${asked({ atMost: MOST_PERCENT }, costs[i]!.cpuMorePercent, 1)}`);
  }
  // What waits for a full page is counted in a later turn.
  const ofEvery = spans[1]! / turns[1]! / load.requests;
  if (ofEvery < 0.8 * SPANS_A_TASK) throw new Error(`A task has ${ofEvery} spans where every call is traced`);
  const kinds = [
    { name: "no collector" },
    { name: "traces nothing", flags: ["--tracing-otlp-url", otlpUrl, "--tracing-sample-percent", "0"] },
  ];
  const apart = await taskCosts(kinds, { ...load, starts: 2 * load.starts, rounds: Math.ceil(load.rounds / 2) });
  console.log("in processes of their own");
  for (const [i, kind] of kinds.entries()) console.log(showCost(kind, apart[i]!));
} finally {
  collector.close();
  collector.closeAllConnections();
}
