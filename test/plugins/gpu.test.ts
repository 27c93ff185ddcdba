import assert from "node:assert/strict";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { isGpuNeeded, type Metrics, type RequesterId } from "../../src/core/mod.ts";
import { SimulatedDevice } from "../../grpc-plugins/gpu-simulated/device.ts";
import { gpuFunctions } from "../../grpc-plugins/gpu-simulated/functions.ts";
import type { Plugins } from "../../src/plugins/mod.ts";
import { createPluginServer, type PluginImplementation } from "../../src/rpc/mod.ts";
import { hasCode, limits, pluginCall, text } from "../contract-suites/plugin-host.ts";
import { openHost } from "./host-fixture.ts";
import { test, type TestScope } from "../testing.ts";

const ANN = "0xA" as unknown as RequesterId;
const BEN = "0xB" as unknown as RequesterId;

/** Keeps the last value of each gauge and the sum of each counter. */
function readings(): { values: Map<string, number>; metrics: Metrics } {
  const values = new Map<string, number>();
  const metrics: Metrics = {
    counter: (name) => ({ add: (amount = 1) => void values.set(name, (values.get(name) ?? 0) + amount) }),
    gauge: (name) => ({ set: (value) => void values.set(name, value) }),
    histogram: () => ({ observe() {} }),
  };
  return { values, metrics };
}

async function ready(host: Plugins, ...names: string[]): Promise<void> {
  for (const name of names) while (!host.get(name).ready) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** A host with GPU plugins that this process serves. */
async function open(
  t: TestScope,
  plugins: Readonly<Record<string, { functions: Record<string, PluginImplementation>; gpu: boolean }>>,
  options: { metrics?: Metrics; maxGpuWaiting?: number } = {},
): Promise<Plugins> {
  const external = [];
  for (const [name, served] of Object.entries(plugins)) {
    const server = createPluginServer({ name, version: "1.0.0", ...served });
    const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
    t.after(() => server.close({ graceMs: 0 }));
    external.push({ name, address: `127.0.0.1:${port}`, protocol: "velas" as const });
  }
  const host = await openHost(t, { external, ...options });
  await ready(host, ...Object.keys(plugins));
  return host;
}

/** Functions that wait until a test lets them go, and count how many run. */
function gated(usedMicros: number) {
  const state = { running: 0, most: 0, begun: 0, release: () => {} };
  const run: PluginImplementation = {
    async run(input, { usedGpu, signal }) {
      await input.bytes();
      state.begun++;
      state.most = Math.max(state.most, ++state.running);
      try {
        await new Promise<void>((resolve, reject) => {
          state.release = resolve;
          signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
        });
      } finally {
        state.running--;
      }
      usedGpu(usedMicros);
      return "done";
    },
  };
  return { state, run };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

test("a plugin with a GPU refuses what allows none, and says what to do; others do not", async (t) => {
  const run: PluginImplementation = { run: () => Promise.resolve("ran") };
  const host = await open(t, {
    gpu: { functions: { go: run }, gpu: true },
    plain: { functions: { go: run }, gpu: false },
  });
  const call = (plugin: string) =>
    host.execute(pluginCall("go", "", { plugin, requester: ANN, limits: limits({ noGpu: true }) }));
  await assert.rejects(call("gpu"), (error) => {
    assert.ok(isGpuNeeded(error));
    assert.match((error as Error).message, /The plugin gpu works on a GPU.*reserve for GPU time too/);
    return true;
  });
  assert.equal(text((await call("plain")).output), "ran");
  assert.deepEqual([host.resolve("gpu", "go").gpu, host.resolve("plain", "go").gpu], [true, undefined]);
});

test("two jobs of a plugin with a GPU do not overlap, and report its time", async (t) => {
  // The device fails a second kernel while one runs.
  const host = await open(t, { gpu: { functions: gpuFunctions(new SimulatedDevice()), gpu: true } });
  const run = (requester: RequesterId) =>
    host.execute(pluginCall("matmul", JSON.stringify({ size: 300 }), { plugin: "gpu", requester }));
  const outcomes = await Promise.all([run(ANN), run(BEN), run(ANN), run(BEN)]);
  for (const { output, usage } of outcomes) {
    const said = JSON.parse(text(output)) as { simulated: boolean; gpuMicros: number };
    assert.equal(said.simulated, true);
    assert(said.gpuMicros >= 27_000, `${said.gpuMicros}`); // 54 million operations
    assert.equal(usage.gpuMicros, said.gpuMicros);
    assert(usage.gpuMicros <= usage.wallMicros);
  }
});

test("the simulated device fails a second kernel while one runs, without a node before it", async () => {
  const device = new SimulatedDevice();
  const kernel = { operations: 1e8, signal: new AbortController().signal, onProgress: () => {} };
  const first = device.run(kernel);
  await assert.rejects(device.run(kernel), hasCode("overloaded", /one kernel at a time/));
  await first;
});

test("the line for the GPU is one for all plugins, and is seen in lists and metrics", async (t) => {
  const { values, metrics } = readings();
  const [one, two] = [gated(1), gated(1)];
  const host = await open(t, {
    one: { functions: { run: one.run }, gpu: true },
    two: { functions: { run: two.run }, gpu: true },
    plain: { functions: { greet: { run: () => Promise.resolve("hello") } }, gpu: false },
  }, { metrics });
  assert.equal(host.get("plain").gpu, undefined);
  const running = host.execute(pluginCall("run", "", { plugin: "one", requester: ANN }));
  await until(() => one.state.running === 1);
  const waiting = host.execute(pluginCall("run", "", { plugin: "two", requester: BEN }));
  await until(() => host.get("two").gpu!.waiting === 1);
  assert.deepEqual(host.get("one").gpu, { running: 1, waiting: 0 });
  assert.deepEqual(host.list().find(({ name }) => name === "two")!.gpu, { running: 0, waiting: 1 });
  assert.deepEqual([values.get("velas_gpu_running"), values.get("velas_gpu_waiting")], [1, 1]);
  // What needs no GPU does not wait for it.
  assert.equal(text((await host.execute(pluginCall("greet", "", { plugin: "plain" }))).output), "hello");
  assert.equal(two.state.begun, 0);
  one.state.release();
  await running;
  await until(() => two.state.running === 1);
  two.state.release();
  await waiting;
  assert.deepEqual([values.get("velas_gpu_running"), values.get("velas_gpu_waiting")], [0, 0]);
  assert(values.get("velas_gpu_held_seconds_total")! > 0);
});

test("a call is canceled while it waits for the GPU, and one that has it lets the next have it", async (t) => {
  const { state, run } = gated(1);
  const host = await open(t, { gpu: { functions: { run }, gpu: true } }, { maxGpuWaiting: 1 });
  const [first, second] = [new AbortController(), new AbortController()];
  const job = (signal: AbortSignal) => host.execute(pluginCall("run", "", { plugin: "gpu", signal }));
  const running = assert.rejects(job(first.signal), hasCode("canceled"));
  await until(() => state.running === 1);
  const leaving = assert.rejects(job(second.signal), hasCode("canceled", /waited for the GPU/));
  await until(() => host.get("gpu").gpu!.waiting === 1);
  await assert.rejects(job(new AbortController().signal), hasCode("overloaded", /maxGpuWaiting/));
  second.abort();
  await leaving;
  const next = job(new AbortController().signal);
  await until(() => host.get("gpu").gpu!.waiting === 1);
  first.abort();
  await running;
  await until(() => state.begun === 2 && state.running === 1);
  state.release();
  assert.equal(text((await next).output), "done");
  assert.equal(state.most, 1);
});

test("close() ends calls that wait for the GPU", async (t) => {
  const { state, run } = gated(1);
  const host = await open(t, { gpu: { functions: { run }, gpu: true } });
  const ends = [1, 2].map(() =>
    assert.rejects(host.execute(pluginCall("run", "", { plugin: "gpu" })), hasCode("shutting_down"))
  );
  await until(() => state.running === 1 && host.get("gpu").gpu!.waiting === 1);
  await host.close();
  await Promise.all(ends);
});

test("no more of the GPU is counted than the call took, and none of a plugin that does not declare it", async (t) => {
  const liar: PluginImplementation = {
    run(_, { usedGpu }) {
      usedGpu(3_600_000_000);
      return Promise.resolve("");
    },
  };
  const functions = { liar };
  const host = await open(t, { gpu: { functions, gpu: true }, plain: { functions, gpu: false } });
  const { usage } = await host.execute(pluginCall("liar", "", { plugin: "gpu" }));
  assert.equal(usage.gpuMicros, usage.wallMicros);
  assert.equal((await host.execute(pluginCall("liar", "", { plugin: "plain" }))).usage.gpuMicros, undefined);
});

test("a node runs the simulated GPU as a program; a wrong size is the caller's fault, a time limit frees the device", async (t) => {
  const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
  const runtime = "Deno" in globalThis ? ["run", "-A", main] : [main];
  const command = [process.execPath, ...runtime, "plugin", "gpu-simulated"];
  const host = await openHost(t, { external: [{ name: "gpu", command, protocol: "velas" }] });
  await ready(host, "gpu");
  const run = (input: string, timeoutMs = 20_000) =>
    host.execute(pluginCall("matmul", input, { plugin: "gpu", limits: limits({ timeoutMs }) }));
  await assert.rejects(run('{"size":0}'), hasCode("invalid_argument", /from 1 to 4096, not \{"size":0\}/));
  await assert.rejects(run('{"size":4096}', 200), hasCode("deadline_exceeded"));
  // The kernel that was stopped looks every 10 ms whether it is still wanted.
  let answer;
  while (answer === undefined) {
    answer = await run('{"size":100}').catch((error: Error) => {
      assert(hasCode("overloaded")(error));
      return undefined;
    });
  }
  assert.equal((JSON.parse(text(answer.output)) as { size: number }).size, 100);
});
