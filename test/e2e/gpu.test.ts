import assert from "node:assert/strict";
import type { TaskReceipt } from "../../src/core/mod.ts";
import { isTaskReceiptSigned } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { gpuFunctions } from "../../grpc-plugins/gpu-simulated/functions.ts";
import { createPluginServer } from "../../src/rpc/mod.ts";
import { get, type NodeProcess, post, run, taskThat, until } from "./harness.ts";
import { channelOf, startPaidSwarm } from "./paid-swarm.ts";

const GPU_SECOND = 1_000_000_000n;

test("two tasks at once have the simulated GPU one after the other, and its time is paid", async (t) => {
  const { matmul } = gpuFunctions();
  const gate = Promise.withResolvers<void>();
  const functions = {
    matmul: {
      run: async (...given: Parameters<NonNullable<typeof matmul>["run"]>) => {
        await gate.promise;
        return await (matmul!.run(...given) as Promise<string>);
      },
    },
  };
  const server = createPluginServer({ name: "gpu", version: "1.0.0", gpu: true, functions });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(() => server.close({ graceMs: 0 }));
  const external = [{ name: "gpu", address: `127.0.0.1:${port}` }];
  const { providers: [provider], requester } = await startPaidSwarm(t, {
    prices: { gpuSecond: String(GPU_SECOND) },
    provider: { plugins: { external } },
  });
  const { rest, rpc } = provider!;
  const gpu = async () =>
    (await get<{ plugins: { name: string; ready: boolean; gpu?: { running: number; waiting: number } }[] }>(
      `${rest}/v1/plugins`,
    )).plugins.find(({ name }) => name === "gpu")!;
  await until(async () => (await gpu()).ready || undefined);
  const ids = ["g1", "g2"];
  for (const id of ids) {
    const task = { target: rpc, id, plugin: "gpu", function: "matmul", input: '{"size":300}' };
    const answer = await post(`${requester.rest}/v1/tasks`, task);
    assert.equal(answer.status, 202, answer.text);
  }
  await until(async () => {
    const line = (await gpu()).gpu!;
    return (line.running === 1 && line.waiting === 1) || undefined;
  });
  const listed = await run(["plugins", "list", "--url", rest]);
  assert.match(listed.stdout, /gpu@1.0.0 +ready, GPU in use, 1 wait/);
  const metrics = await (await fetch(`${rest}/metrics`)).text();
  assert.match(metrics, /^velas_gpu_running 1$/m);
  assert.match(metrics, /^velas_gpu_waiting 1$/m);
  // The device fails a second kernel while one runs.
  gate.resolve();
  let charges = 0n;
  for (const id of ids) {
    await taskThat((task) => task.state === "succeeded", { rest: requester.rest, id });
    const { receipt } = await get<{ receipt: TaskReceipt }>(`${requester.rest}/v1/tasks/${id}`);
    assert.equal(receipt.version, 2);
    assert(isTaskReceiptSigned(receipt));
    const { gpuMicros, wallMicros } = receipt.usage;
    assert(gpuMicros! >= 27_000 && gpuMicros! <= wallMicros, `${gpuMicros} of ${wallMicros}`);
    // A billionth of a coin a second: a thousand a microsecond.
    assert.equal(BigInt(receipt.terms!.charge), BigInt(gpuMicros!) * (GPU_SECOND / 1_000_000n));
    charges += BigInt(receipt.terms!.charge);
  }
  const { plugins } = await get<{ plugins: { name: string; used?: { calls: number; gpuMicros: number } }[] }>(
    `${rest}/v1/plugins`,
  );
  const { used } = plugins.find(({ name }) => name === "gpu")!;
  assert.deepEqual([used!.calls, BigInt(used!.gpuMicros) * (GPU_SECOND / 1_000_000n)], [2, charges]);
  const [spent, earned] = await Promise.all([channelOf(requester), channelOf(provider!)]);
  assert.equal(BigInt(earned.charged), charges);
  assert.equal(spent.charged, earned.charged);
});

test("where a GPU has its price, tasks on plugins without one need no money for it, and tasks with one are paid as ever", async (t) => {
  const server = createPluginServer({ name: "gpu", version: "1.0.0", gpu: true, functions: gpuFunctions() });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(() => server.close({ graceMs: 0 }));
  const gpuSecond = 1_000_000_000_000n;
  const { providers: [provider], requester, requesterAgain } = await startPaidSwarm(t, {
    prices: { gpuSecond: String(gpuSecond), minimum: "10" },
    provider: { plugins: { external: [{ name: "gpu", address: `127.0.0.1:${port}` }] } },
    // A second of the GPU; what any task without one costs is far below.
    requester: { payments: { capTask: String(gpuSecond) } },
  });
  const { rest, rpc } = provider!;
  type Listed = { plugins: { name: string; ready: boolean }[] };
  await until(async () => {
    const { plugins } = await get<Listed>(`${rest}/v1/plugins`);
    return plugins.find(({ name }) => name === "gpu")!.ready || undefined;
  });
  const limits = { timeoutMs: 30_000 };
  const greet = { target: rpc, plugin: "demo", function: "greet", input: "Ann", limits };
  const quick = await post(`${requester.rest}/v1/tasks/run`, greet);
  assert.equal(quick.status, 200, quick.text);
  const stored = await post(`${requester.rest}/v1/tasks/run`, { ...greet, id: "stored" });
  assert.equal(stored.status, 200, stored.text);
  const submitted = await post(`${requester.rest}/v1/tasks`, { ...greet, id: "submitted" });
  assert.equal(submitted.status, 202, submitted.text);
  await taskThat((task) => task.state === "succeeded", { rest: requester.rest, id: "submitted" });
  const { limits: bound } = await get<{ limits: { noGpu?: boolean } }>(`${requester.rest}/v1/tasks/submitted`);
  assert.equal(bound.noGpu, true);
  const stream = (node: NodeProcess, path: string, { input, timeoutMs }: { input: string; timeoutMs: number }) => {
    const query = new URLSearchParams({ target: rpc, timeoutMs: String(timeoutMs) });
    return fetch(`${node.rest}/v1/run/${path}?${query}`, { method: "POST", body: input });
  };
  const streamed = await stream(requester, "demo/greet", { input: "Ann", ...limits });
  assert.equal(streamed.status, 200, await streamed.text());
  const { charged, paid } = await channelOf(requester);
  assert.equal(charged, "40");
  assert.ok(BigInt(paid) < gpuSecond, `${paid} were paid ahead`);

  // With a GPU it is over the cap, unless the time is short enough.
  const onGpu = { target: rpc, plugin: "gpu", function: "matmul", input: '{"size":40}' };
  const over = await post(`${requester.rest}/v1/tasks/run`, { ...onGpu, limits });
  assert.match(over.text, /cap_reached/);
  await requester.stop();
  // One that has forgotten which plugins have one.
  const again = await requesterAgain();
  const within = { timeoutMs: 900 };
  const earnedBy = async (task: () => Promise<void>): Promise<bigint> => {
    const before = BigInt((await channelOf(again)).charged);
    await task();
    return BigInt((await channelOf(again)).charged) - before;
  };
  const charges = [
    await earnedBy(async () => {
      const answer = await stream(again, "gpu/matmul", { input: onGpu.input, ...within });
      assert.equal(answer.status, 200, await answer.text());
    }),
    await earnedBy(async () => {
      const answer = await post(`${again.rest}/v1/tasks/run`, { ...onGpu, limits: within });
      assert.equal(answer.status, 200, answer.text);
    }),
    await earnedBy(async () => {
      const answer = await post(`${again.rest}/v1/tasks`, { ...onGpu, id: "on-gpu", limits: within });
      assert.equal(answer.status, 202, answer.text);
      await taskThat((task) => task.state === "succeeded", { rest: again.rest, id: "on-gpu" });
    }),
  ];
  for (const charge of charges) assert.ok(charge > 1_000_000n, `${charges}`);
  const [spent, earned] = await Promise.all([channelOf(again), channelOf(provider!)]);
  assert.equal(spent.charged, earned.charged);
});
