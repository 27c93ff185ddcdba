/**
 * Streams a big file through real node processes and tells what it took: `node test/e2e/big-file.ts [GiB]`. Not part of the tests: it takes
 * minutes and 1.5 times its size on disk.
 */
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import process from "node:process";
import { scratch, startNode } from "./harness.ts";

const gib = Number(process.argv[2] ?? 1);
const totalBytes = gib * 2 ** 30;
const cleanups: (() => unknown)[] = [];
const scope = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };
const MIB = 2 ** 20;

const residentMiB = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;

async function main(): Promise<void> {
  const folder = scratch(scope);
  const providers = await Promise.all(Array.from({ length: 6 }, (_, i) =>
    startNode(scope, {
      dataDir: join(folder, `provider-${i + 1}`),
      config: { storage: { quotaBytes: 2 * totalBytes, minFreeBytes: 0 } },
    })));
  const requester = await startNode(scope, {
    dataDir: join(folder, "requester"),
    config: { requester: { providers: providers.map(({ rpc }) => rpc) } },
  });
  const nodes = [requester, ...providers];
  // A small file first, so that what is loaded on first use does not count.
  await put(requester.rest, "small", 8 * MIB);
  const before = nodes.map(({ child }) => residentMiB(child.pid!));
  const most = [...before];
  const timer = setInterval(
    () => nodes.forEach(({ child }, i) => most[i] = Math.max(most[i]!, residentMiB(child.pid!))),
    100,
  );

  const putAt = performance.now();
  const id = await put(requester.rest, "big", totalBytes);
  const putSeconds = (performance.now() - putAt) / 1000;
  console.log(`put  ${(totalBytes / MIB / putSeconds).toFixed(0)} MiB/s`, grown(before, most));
  const getAt = performance.now();
  await drain(`${requester.rest}/v1/files/${id}/content`, totalBytes);
  const getSeconds = (performance.now() - getAt) / 1000;
  console.log(`get  ${(totalBytes / MIB / getSeconds).toFixed(0)} MiB/s`, grown(before, most));
  const seeks: number[] = [];
  for (let i = 0; i < 50; i++) {
    const start = Math.floor(Math.random() * (totalBytes - MIB));
    seeks.push(await firstByteMs(`${requester.rest}/v1/files/${id}/content`, `bytes=${start}-${start + MIB - 1}`));
  }
  seeks.sort((a, b) => a - b);
  console.log(`seek first byte of a random MiB: p50 ${seeks[25]!.toFixed(1)} ms, p99 ${seeks[49]!.toFixed(1)} ms`);
  clearInterval(timer);
}

function grown(before: readonly number[], most: readonly number[]): string {
  const grew = most.map((value, i) => Math.round(value - before[i]!));
  return `resident memory grew: requester ${grew[0]} MiB, providers ${grew.slice(1).join(", ")} MiB`;
}

function put(rest: string, name: string, bytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request(`${rest}/v1/files/${name}`, { method: "PUT" }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece: string) => text += piece).on("end", () => {
        if (answer.statusCode === 201) resolve((JSON.parse(text) as { id: string }).id);
        else reject(new Error(text));
      });
    });
    call.on("error", reject);
    const piece = Buffer.alloc(MIB, 7);
    let left = bytes;
    const send = () => {
      while (left > 0) {
        const some = piece.subarray(0, Math.min(left, piece.length));
        left -= some.length;
        if (!call.write(some)) return void call.once("drain", send);
      }
      call.end();
    };
    send();
  });
}

function drain(url: string, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    request(url, (answer) => {
      let size = 0;
      answer.on("data", (piece: Buffer) => size += piece.length).on("error", reject).on("end", () => {
        if (size === bytes) resolve();
        else reject(new Error(`${size} of ${bytes} bytes came`));
      });
    }).on("error", reject).end();
  });
}

function firstByteMs(url: string, range: string): Promise<number> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    request(url, { headers: { range } }, (answer) => {
      let ms: number | undefined;
      answer.on("data", () => ms ??= performance.now() - startedAt).on("error", reject).on("end", () => resolve(ms!));
    }).on("error", reject).end();
  });
}

try {
  await main();
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
