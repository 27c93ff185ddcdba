/** Watches the alerts of a node that runs, in every place where an operator may meet them. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestScope } from "../testing.ts";
import { get, type NodeProcess, until } from "./harness.ts";

/** What the webhook got. */
interface Told {
  readonly type: string;
  readonly data: {
    readonly name: string;
    readonly message: string;
    readonly nodeId: string;
    readonly nodeName: string;
  };
}

interface AlertJson {
  readonly name: string;
  readonly message: string;
  readonly since: string;
}

export interface AlertWatch {
  /** Groups of the configuration of the node that is watched. */
  readonly config: {
    readonly alerts: Readonly<Record<string, unknown>>;
    readonly node: Readonly<Record<string, unknown>>;
  };
  /** Waits until the alert is everywhere, with a message that matches, and returns the message. */
  raised(node: NodeProcess, alert: { readonly name: string; readonly message: RegExp }): Promise<string>;
  /** Waits until it is over everywhere. */
  cleared(node: NodeProcess, alert: { readonly name: string }): Promise<void>;
}

/** Opens a webhook; `alerts` are more settings of their group. */
export async function watchAlerts(t: TestScope, alerts: Readonly<Record<string, unknown>> = {}): Promise<AlertWatch> {
  const told: Told[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request.setEncoding("utf8")) body += piece;
    response.end();
    told.push(JSON.parse(body) as Told);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const ofWebhook = async (node: NodeProcess, { type, name }: { type: string; name: string }) => {
    const { data } = await until(() =>
      Promise.resolve(told.find((each) => each.type === type && each.data.name === name))
    );
    assert.deepEqual([data.nodeId, data.nodeName], [node.nodeId, "watched"]);
    return data.message;
  };
  return {
    config: {
      alerts: { everyMs: 100, minFreeBytes: 0, webhookUrl: `http://127.0.0.1:${port}/hook`, ...alerts },
      node: { allowNetworks: ["127.0.0.1"], name: "watched" },
    },
    async raised(node, { name, message }) {
      assert.match(await ofWebhook(node, { type: "alert.raised", name }), message);
      const shown = (await listed(node)).find((each) => each.name === name);
      assert.match(shown?.message ?? "", message, "REST lists it");
      assert.ok(Date.parse(shown!.since) <= Date.now());
      assert.match(await metrics(node), new RegExp(`^velas_alert\\{name="${name}"\\} 1$`, "m"));
      assert.match(
        (await ofEvents(node)).find((each) => each.name === name)?.message ?? "",
        message,
        "the page shows it",
      );
      const line = logged(node, { text: "Alert raised", name });
      assert.match(String(line["reason"]), message);
      return shown!.message;
    },
    async cleared(node, { name }) {
      await ofWebhook(node, { type: "alert.cleared", name });
      assert.deepEqual((await listed(node)).filter((each) => each.name === name), []);
      assert.match(await metrics(node), new RegExp(`^velas_alert\\{name="${name}"\\} 0$`, "m"));
      assert.deepEqual((await ofEvents(node)).filter((each) => each.name === name), []);
      assert.ok(Number(logged(node, { text: "Alert cleared", name })["lastedMs"]) > 0);
    },
  };
}

async function listed({ rest }: NodeProcess): Promise<readonly AlertJson[]> {
  return (await get<{ alerts: AlertJson[] }>(`${rest}/v1/alerts`)).alerts;
}

async function metrics({ rest }: NodeProcess): Promise<string> {
  return await (await fetch(`${rest}/metrics`)).text();
}

/** The alerts of the first sample that a page gets which opens now. */
async function ofEvents({ rest }: NodeProcess): Promise<readonly AlertJson[]> {
  const events = await fetch(`${rest}/v1/events`);
  const reader = events.body!.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const sample = /^event: sample\ndata: (.*)$/m.exec(text);
      // Its end is there when the line after it is.
      if (sample !== null && text.indexOf("\n\n", sample.index) > 0) {
        return (JSON.parse(sample[1]!) as { alerts: AlertJson[] }).alerts;
      }
      const { value, done } = await reader.read();
      assert.ok(!done, `No sample came: ${text}`);
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    await reader.cancel();
  }
}

/** The one line of the log that tells of it. */
function logged(
  { log }: NodeProcess,
  { text, name }: { readonly text: string; readonly name: string },
): Record<string, unknown> {
  const lines = log.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg, alert }) => msg === text && alert === name);
  assert.equal(lines.length, 1, `"${text}" of ${name} is in the log once, not:\n${JSON.stringify(lines)}`);
  return lines[0]!;
}
