/**
 * What metrics cost a task: `POST /task` at 16 keep-alive connections on a node as it is and on one whose metrics throw away what they are
 * told (`without-metrics.ts`), in turns whose order changes. It is the node's own CPU time for each task that counts, since h2load shares
 * the machine; the share is the median of the rounds, each against that of the other node in the same round. On Node.js only.
 *
 *     node bench/metrics.ts [--requests 10000] [--rounds 3] [--starts 6]
 *
 * Fails when one request fails, or when the node without metrics has some.
 */
import { fileURLToPath } from "node:url";
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
const MOST_PERCENT = 5;
const TASKS = 'velas_http_requests_total{method="POST",route="/task",status="200"}';

const without = fileURLToPath(new URL("without-metrics.ts", import.meta.url));
const kinds = [
  { name: "no metrics", runtimeFlags: [`--import=${without}`] },
  { name: "metrics", runtimeFlags: [] },
];
const costs = await taskCosts(kinds, {
  requests: Number(args.requests),
  rounds: Number(args.rounds),
  starts: Number(args.starts),
  async onEnd(kind, node) {
    const counted = await readMetric(node, TASKS) > 0;
    if (counted !== (kind === 1)) {
      throw new Error(`The node with "${kinds[kind]!.name}" ${counted ? "has" : "lacks"} ${TASKS}`);
    }
  },
});
console.log(
  `POST /task, ${args.requests} requests at 16 connections, median of ${args.rounds} rounds of each of ${args.starts} starts`,
);
for (const [i, kind] of kinds.entries()) console.log(showCost(kind, costs[i]!));
console.log(`  percent more CPU ${asked({ atMost: MOST_PERCENT }, costs[1]!.cpuMorePercent, 1)}`);
