import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestScope } from "../testing.ts";

export interface RpcCall {
  readonly id: number;
  readonly method: string;
  readonly params: readonly unknown[];
}

/** What a proxy does with a call: an answer's `result` as it is to be, or nothing when it has answered itself or never will. */
export type Tamper = (
  call: RpcCall,
  ask: () => Promise<unknown>,
  answer: ServerResponse,
) => Promise<unknown> | undefined;

/** An endpoint in front of a chain's, which can be made slow, deaf, rate-limited or a liar. */
export interface RpcProxy {
  readonly url: string;
  tamper: Tamper | undefined;
  /** Every method that was called. */
  readonly calls: string[];
}

export async function startRpcProxy(t: TestScope, target: string): Promise<RpcProxy> {
  const proxy = { url: "", tamper: undefined as Tamper | undefined, calls: [] as string[] };
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const piece of request.setEncoding("utf8")) text += piece;
    const call = JSON.parse(text) as RpcCall;
    proxy.calls.push(call.method);
    const ask = async () => {
      const answer = await fetch(target, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: text,
      });
      const { result, error } = await answer.json() as { result: unknown; error?: { message: string } };
      if (error !== undefined) throw error;
      return result;
    };
    const send = (body: object) => {
      if (response.writableEnded || response.destroyed) return;
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ jsonrpc: "2.0", id: call.id, ...body }));
    };
    try {
      const given = proxy.tamper === undefined ? ask() : proxy.tamper(call, ask, response);
      if (given !== undefined) send({ result: await given });
    } catch (error) {
      send({ error });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return proxy;
}
