import assert from "node:assert/strict";
import type { TaskReceipt } from "../../src/core/mod.ts";
import { isTaskReceiptSigned } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { gpuFunctions } from "../../grpc-plugins/gpu-simulated/functions.ts";
import { createPluginServer } from "../../src/rpc/mod.ts";
import { get, post, run, taskThat, until } from "./harness.ts";
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
