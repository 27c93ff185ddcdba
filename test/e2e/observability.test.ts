import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { scratch, startNode } from "./harness.ts";
import { startSwarm } from "./swarm.ts";
import { test } from "../testing.ts";

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
  readonly templating: { readonly list: readonly { readonly query: string }[] };
}

/** The metrics that a node shows, by their names without what a histogram adds. */
async function metricsOf(rest: string): Promise<Set<string>> {
  const text = await (await fetch(`${rest}/metrics`)).text();
  return new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!));
}

test("the Grafana dashboard names only metrics that a node has, with labels that they have", async (t) => {
  const { requester: { rest }, providers } = await startSwarm(t, 2);
  await fetch(`${rest}/task`, { method: "POST", body: JSON.stringify({ id: "1", input: "hello" }) });
  await fetch(`${rest}/v1/files/x?policy=1%2B1`, { method: "PUT", body: "hello" });
  const known = await metricsOf(rest);
  for (const name of await metricsOf(providers[0]!.rest)) known.add(name);
  const dashboard = JSON.parse(readFileSync("docs/grafana/velas-sphere.json", "utf8")) as Dashboard;
  const queries = [
    ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    ...dashboard.templating.list.map(({ query }) => query),
  ].join("\n");
  const named = new Set(
    [...queries.matchAll(/\b(?:velas|process|nodejs)_\w+/g)].map(([name]) => name.replace(/_bucket$/, "")),
  );
  assert.ok(named.size > 15, `${named.size} metrics`);
  assert.deepEqual([...named].filter((name) => !known.has(name)), []);
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
