/**
 * The thread in which plugins run. It takes calls from the slots it shares with the pool, one at a time, oldest first, and keeps
 * instances warm between them.
 */
import { parentPort, workerData } from "node:worker_threads";
import { budgetIsOver, explainFailure, pluginFailed } from "./call-failure.ts";
import { CallSlots, shared, SLOT_BYTES, SLOT_STATE } from "./call-slots.ts";
import type { SlotCall } from "./call-slots.ts";
import { WorkerSink } from "./call-sink.ts";
import { InstanceCache } from "./instance-cache.ts";
import { PieceBuffers } from "./piece-buffers.ts";
import { GUARD_WINDOW_MS, runGuarded } from "./time-guard.ts";
import { WarmInstance } from "./warm-instance.ts";
import type { InstanceCall } from "./warm-instance.ts";
import type { FromWorker, ToWorker, WorkerModule, WorkerSetup } from "./worker-protocol.ts";
import type { CallFailure } from "./call-failure.ts";

/** A call that can run: it is pending, and module and input are here. */
interface Runnable {
  readonly slot: number;
  readonly callNumber: number;
  readonly call: SlotCall;
  readonly module: WorkerModule;
}

const BREATH_MS = 5; // how long calls go on before messages are let in
const DOZE_MS = 1; // how long to wait for the next call before falling asleep
const ANNOUNCE_MS = 0.1; // how long an outcome may lie in its slot while more calls run; the pool looks every 5 ms anyway

const port = parentPort!;
const setup = workerData as WorkerSetup;
const slots = new CallSlots(setup.slots);
const modules = new Map<number, WorkerModule>();
const inputs = new Map<number, Uint8Array>();
const sink = new WorkerSink();
const pieces = new PieceBuffers();
const cache = new InstanceCache({ maxCount: setup.warmInstances, maxBytes: setup.warmBytes });
let working = false;
/** Whether a call is pending whose module or input has not come yet. */
let awaitsMessage = false;
/** When the first outcome was put into a slot that the pool was not told of; 0 when there is none. */
let unannouncedSince = 0;

port.on("message", (message: ToWorker) => {
  if (message !== 0) receive(message);
  if (!working) void work();
});
post({ type: "ready" });

function post(message: FromWorker): void {
  port.postMessage(message);
}

function receive(message: Exclude<ToWorker, 0>): void {
  switch (message.type) {
    case "module":
      modules.set(message.module.id, message.module);
      break;
    case "forget":
      modules.delete(message.moduleId);
      cache.forget(message.moduleId);
      break;
    case "input":
      inputs.set(message.callNumber, new Uint8Array(message.bytes));
      break;
    case "withdrawn":
      inputs.delete(message.callNumber);
  }
}

/** Runs calls until none is left. */
async function work(): Promise<void> {
  working = true;
  let breathed = performance.now();
  for (;;) {
    const next = oldestRunnable();
    if (next === undefined) {
      announce();
      if (!awaitsMessage && slots.doze(DOZE_MS, () => oldestRunnable() !== undefined)) continue;
      // A call that is offered after this line rings; one that was offered before is found by looking again.
      slots.silence("worker");
      if (oldestRunnable() === undefined) break;
      slots.ring("worker");
      continue;
    }
    await run(next);
    if (performance.now() - breathed > BREATH_MS) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      breathed = performance.now();
    }
  }
  working = false;
}

function oldestRunnable(): Runnable | undefined {
  awaitsMessage = false;
  for (let after = -1;;) {
    const pending = slots.oldestPending(after);
    if (pending === undefined) return undefined;
    const { slot, callNumber } = pending;
    // It may be withdrawn, and the slot filled again, while this reads; then it cannot be taken.
    const call = slots.call(slot);
    const module = modules.get(call.moduleId);
    if (module !== undefined && (call.inputInSlot || inputs.has(callNumber))) return { slot, callNumber, call, module };
    // What a message carries may still be on its way; it wakes this worker when it comes.
    awaitsMessage = true;
    after = callNumber;
  }
}

/** Runs a call, unless it was withdrawn, and under the same guard the next ones that find a warm instance. */
async function run(first: Runnable): Promise<void> {
  let current = first;
  if (!take(current)) return;
  let startedAt = performance.now();
  let instance: WarmInstance | undefined;
  const { moduleId, memoryPages, requesterNumber, timeoutMs } = current.call;
  try {
    begin(current);
    instance = cache.take(current.call);
    let isNew = false;
    if (instance === undefined) {
      instance = await WarmInstance.create(current.module, memoryPages, sink);
      isNew = true;
    }
    const guardedAt = performance.now();
    runGuarded(timeoutMs, () => {
      if (isNew) instance!.setUp(bounds(current.call));
      for (;;) {
        complete(current, instance!, startedAt);
        if (performance.now() - guardedAt >= GUARD_WINDOW_MS) return;
        if (current.module.fresh) return;
        const next = oldestRunnable();
        const { call } = next ?? {};
        if (next === undefined || call?.moduleId !== moduleId || call.memoryPages !== memoryPages) return;
        if (call.requesterNumber !== requesterNumber || call.timeoutMs !== timeoutMs || !take(next)) return;
        current = next;
        startedAt = performance.now();
        begin(current);
      }
    });
    if (current.module.fresh) instance.close();
    else cache.put(current.call, instance);
  } catch (error) {
    const { instructions } = current.call;
    fail(current, explainFailure(error, { instance, refusal: sink.refusal, timeoutMs, instructions }));
    instance?.close();
  } finally {
    sink.end();
  }
}

/** Tells the pool of outcomes in the slots. Several calls share a message. */
function announce(): void {
  if (unannouncedSince === 0) return;
  unannouncedSince = 0;
  if (slots.ring("pool")) post(0);
}

function take({ slot, callNumber }: Runnable): boolean {
  return slots.move(slot, callNumber, SLOT_STATE.pending, SLOT_STATE.running);
}

function begin({ slot, callNumber, call }: Runnable): void {
  sink.begin({
    outputBytes: call.outputBytes,
    wantsEvents: call.wantsEvents,
    streamsOutput: call.streamsOutput,
    isCanceled: () => slots.isCanceled(slot),
    onEvent: (event) => post({ type: "event", callNumber, event }),
    onAsk: (request, { memory: answer }) => post({ type: "ask", callNumber, request, answer }),
    onChunk: (bytes, check) => {
      slots.waitUnread(slot, bytes.length, check);
      post({ type: "chunk", callNumber, piece: pieces.put(bytes), length: bytes.length });
    },
  });
}

function bounds({ memoryPages, wantsEvents, instructions }: SlotCall): InstanceCall {
  return { bufferBytes: memoryPages * 65_536, wantsLogs: wantsEvents, instructions };
}

/** Calls the plugin and hands the outcome over. Throws when the plugin was stopped in the middle. */
function complete({ slot, callNumber, call, module }: Runnable, instance: WarmInstance, startedAt: number): void {
  const input = call.inputInSlot ? slots.input(slot, call.inputLength) : inputs.get(callNumber)!;
  inputs.delete(callNumber);
  const last = instance.call(module.functions[call.functionIndex]!, input, bounds(call));
  if (sink.refusal !== undefined) throw sink.refusal;
  const { meter } = instance;
  const done = { slot, callNumber, call, module };
  // Its last stretch may have gone over the budget without another test; it returned in good order, too.
  if (meter.isOver) return fail(done, budgetIsOver(call.instructions));
  const error = instance.error();
  // A plugin that reports an error returned in good order; its instance may go on.
  if (error !== undefined) return fail(done, pluginFailed(error));
  const output = sink.finish(last);
  const wallMicros = Math.ceil((performance.now() - startedAt) * 1000);
  const instructions = meter.spent;
  if (output.length <= SLOT_BYTES && !sink.posted) {
    slots.finish(slot, callNumber, { output, wallMicros, instructions });
    const now = performance.now();
    if (unannouncedSince === 0) unannouncedSince = now;
    else if (now - unannouncedSince > ANNOUNCE_MS) announce();
    return;
  }
  post({ type: "output", callNumber, output: shared(output), outputBytes: sink.outputBytes, wallMicros, instructions });
  slots.move(slot, callNumber, SLOT_STATE.running, SLOT_STATE.posted);
}

function fail({ slot, callNumber }: Runnable, { code, message }: CallFailure): void {
  inputs.delete(callNumber);
  post({ type: "failure", callNumber, code, message });
  slots.move(slot, callNumber, SLOT_STATE.running, SLOT_STATE.posted);
}
