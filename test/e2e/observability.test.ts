import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { scratch, startNode, until } from "./harness.ts";
import { startSwarm } from "./swarm.ts";
import { test } from "../testing.ts";

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
  readonly templating: { readonly list: readonly { readonly query: string }[] };
}

const METRIC = /\b(?:velas|process|nodejs)_\w+/g;
const LABEL = /(\w+)\s*(?:=~|!~|!=|=)\s*"/g;
/** What Prometheus itself gives every series. */
const OF_PROMETHEUS = ["instance", "job"];

const plain = (name: string) => name.replace(/_(?:bucket|sum|count)$/, "");

/** Adds the metrics that a node shows, by their names without what a histogram adds, with the labels that they were seen with. */
async function addMetricsOf(rest: string, known: Map<string, Set<string>>): Promise<void> {
  const text = await (await fetch(`${rest}/metrics`)).text();
  const histograms = new Set([...text.matchAll(/^# TYPE (\S+) histogram/gm)].map(([, name]) => name!));
  for (const [, name] of text.matchAll(/^# TYPE (\S+)/gm)) known.set(name!, known.get(name!) ?? new Set());
  for (const [, name, labels] of text.matchAll(/^(\w+)\{(.*)\} \S+$/gm)) {
    const metric = histograms.has(plain(name!)) ? plain(name!) : name!;
    for (const [, label] of labels!.matchAll(/(\w+)="/g)) known.get(metric)!.add(label!);
  }
}

/** The labels that an expression wants of each metric: those that it selects, and those that it groups or joins by. */
function wantedLabels(expr: string): Map<string, Set<string>> {
  const wanted = new Map<string, Set<string>>();
  const grouped = [...expr.matchAll(/\b(?:by|on|ignoring|without)\s*\(([^)]*)\)/g)]
    .flatMap(([, list]) => list!.split(",").map((label) => label.trim()).filter((label) => label !== ""));
  for (const [, name, selector = ""] of expr.matchAll(/\b((?:velas|process|nodejs)_\w+)(?:\{([^}]*)\})?/g)) {
    const labels = [...selector.matchAll(LABEL)].map(([, label]) => label!);
    wanted.set(name!, new Set([...wanted.get(name!) ?? [], ...labels, ...grouped]));
  }
  return wanted;
}

test("the Grafana dashboard names only metrics that a node has, with labels that they have", async (t) => {
  const { requester: { rest }, providers } = await startSwarm(t, 2);
  await fetch(`${rest}/task`, { method: "POST", body: JSON.stringify({ id: "1", input: "hello" }) });
  await fetch(`${rest}/v1/files/x?policy=1%2B1`, { method: "PUT", body: "hello" });
  const known = new Map<string, Set<string>>();
  await addMetricsOf(rest, known);
  await addMetricsOf(providers[0]!.rest, known);
  // Series of what nobody did have no labels yet.
  const hurried = await startNode(t, {
    dataDir: join(scratch(t), "data"),
    config: { rest: { requestsPerSecond: 1, requestsBurst: 1 } },
  });
  const asked = () => fetch(`${hurried.rest}/v1/node`).then(({ status }) => status === 429 || undefined);
  await until(asked);
  await until(() =>
    addMetricsOf(hurried.rest, known).then(() => known.get("velas_rate_limited_total")?.size || undefined)
  );
  const dashboard = JSON.parse(readFileSync("docs/grafana/velas-sphere.json", "utf8")) as Dashboard;
  const queries = [
    ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    ...dashboard.templating.list.map(({ query }) => query),
  ];
  const metricOf = (name: string) => known.has(name) ? name : plain(name);
  const named = new Set(queries.flatMap((query) => [...query.matchAll(METRIC)].map(([name]) => metricOf(name))));
  assert.ok(named.size > 15, `${named.size} metrics`);
  assert.deepEqual([...named].filter((name) => !known.has(name)), []);
  let checked = 0;
  const unknown: string[] = [];
  for (const query of queries) {
    for (const [name, labels] of wantedLabels(query)) {
      const has = known.get(metricOf(name))!;
      for (const label of labels) {
        if (OF_PROMETHEUS.includes(label)) continue;
        checked++;
        const isOfBuckets = label === "le" && name.endsWith("_bucket");
        if (!isOfBuckets && !has.has(label)) unknown.push(`${label} of ${name} in ${query}`);
      }
    }
  }
  assert.ok(checked > 10, `${checked} labels`);
  assert.deepEqual(unknown, []);
});

test("no secret of the configuration shows in the log, the metrics, the settings, an error or the process list", async (t) => {
  const token = "s3cret-token-of-this-test-0123456789";
  const passphrase = "s3cret-passphrase-of-this-test";
  const urlSecret = "s3cret-in-urls-of-this-test";
  const node = await startNode(t, {
    dataDir: join(scratch(t), "data"),
    config: {
      rest: { token },
      node: { keyPassphrase: passphrase },
      log: { level: "debug" },
      // A chain and a receiver that are down, and so are complained of.
      payments: {
        rpcUrls: [`http://user:${urlSecret}@127.0.0.1:1/v3/${urlSecret}`],
        chainId: 1,
        channels: `0x${"1".repeat(40)}`,
      },
      alerts: { webhookUrl: `http://127.0.0.1:1/${urlSecret}`, webhookSecret: urlSecret, minFreeBytes: "8000TiB" },
    },
  });
  const headers = { authorization: `Bearer ${token}` };
  const places: string[] = [];
  for (
    const path of ["/metrics", "/v1/config", "/v1/node", "/v1/openapi.json", "/v1/stats", "/nothing", "/v1/tasks?x=1"]
  ) {
    places.push(await (await fetch(node.rest + path, { headers })).text());
  }
  places.push(await (await fetch(`${node.rest}/v1/tasks`, { headers: { authorization: `Bearer ${token}x` } })).text());
  const cookie = await fetch(`${node.rest}/v1/session`, { method: "POST", headers });
  places.push(cookie.headers.get("set-cookie")!);
  places.push(readFileSync(`/proc/${node.child.pid}/cmdline`, "utf8"));
  await node.stop();
  places.push(node.log.join("\n"));
  for (const text of places) {
    assert.ok([token, passphrase, urlSecret].every((secret) => !text.includes(secret)), text.slice(0, 500));
  }
  assert.ok(node.log.length > 0);
});
