/**
 * What tracing costs a task: `POST /task` at 16 keep-alive connections on a node without tracing, one that traces every call, and one
 * that traces up to 100 calls a second, the default, in turns whose order changes. The collector only takes the bytes; it and h2load share
 * the machine with the nodes, so the node's own CPU time for each task, which includes that of sending its spans, says more than the
 * rate. The shares are medians of the rounds, each node against the one without tracing in the same round.
 *
 *     node bench/tracing.ts [--requests 10000] [--rounds 3] [--starts 6]
 *
 * Fails when one request fails.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { parseArgs } from "node:util";
import { asked } from "./asked.ts";
import { readMetric, showCost, taskCosts } from "./task-cost.ts";

const { values: args } = parseArgs({
  options: {
    requests: { type: "string", default: "10000" },
    rounds: { type: "string", default: "3" },
    starts: { type: "string", default: "6" },
  },
});
const MOST_PERCENT = 10;

const collector = createServer((request, response) => {
  request.resume().on("end", () => response.end("{}"));
});
await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
const kinds = [
  { name: "not traced", flags: [] },
  { name: "every call", flags: ["--tracing-otlp-url", url, "--tracing-calls-per-second", "1000000"] },
  { name: "as by default", flags: ["--tracing-otlp-url", url] },
];
const spans = kinds.map(() => ({ exported: 0, dropped: 0 }));
try {
  const costs = await taskCosts(kinds, {
    requests: Number(args.requests),
    rounds: Number(args.rounds),
    starts: Number(args.starts),
    async onEnd(kind, node) {
      for (const result of ["exported", "dropped"] as const) {
        spans[kind]![result] += await readMetric(node, `velas_trace_spans_total{result="${result}"}`);
      }
    },
  });
  console.log(
    `POST /task, ${args.requests} requests at 16 connections, median of ${args.rounds} rounds of each of ${args.starts} starts`,
  );
  for (const [i, kind] of kinds.entries()) {
    const { exported, dropped } = spans[i]!;
    console.log(`${showCost(kind, costs[i]!)}, ${exported} spans exported, ${dropped} dropped`);
    if (i > 0) console.log(`  percent more CPU ${asked({ atMost: MOST_PERCENT }, costs[i]!.cpuMorePercent, 1)}`);
  }
} finally {
  collector.close();
  collector.closeAllConnections();
}
