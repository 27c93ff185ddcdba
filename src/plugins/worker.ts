/**
 * The thread in which plugins run. It takes calls from the slots it shares with the pool, one at a time, oldest first, and keeps
 * instances warm between them.
 */
import { parentPort, workerData } from "node:worker_threads";
import { budgetIsOver, explainFailure, pluginFailed } from "./call-failure.ts";
import { CallSlots, shared, SLOT_BYTES, SLOT_STATE } from "./call-slots.ts";
import type { SlotCall } from "./call-slots.ts";
import { WorkerSink } from "./call-sink.ts";
import type { SinkOptions } from "./call-sink.ts";
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
/** The call that runs, or ran last. */
let running: Runnable;
/** When a call ended last. To look at the clock costs some percent of a small call. */
let endedAt = 0;

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
    const cold = run(next);
    if (cold !== undefined) await cold;
    if (endedAt - breathed > BREATH_MS) {
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

/** Runs a call, unless it was withdrawn. Gives a promise only when the call needs a new instance. */
function run(next: Runnable): Promise<void> | undefined {
  if (!take(next)) return undefined;
  const startedAt = performance.now();
  begin(next);
  const instance = cache.take(next.call);
  if (instance === undefined) return runCold(next, startedAt);
  runIn(instance, { startedAt, isNew: false });
  return undefined;
}

async function runCold({ call, module }: Runnable, startedAt: number): Promise<void> {
  let instance: WarmInstance;
  try {
    instance = await WarmInstance.create(module, call.memoryPages, sink);
  } catch (error) {
    failWith(error, undefined);
    sink.end();
    return;
  }
  runIn(instance, { startedAt, isNew: true });
}

/** Runs the present call, and under the same guard the next ones that the same instance is for. */
function runIn(instance: WarmInstance, { startedAt, isNew }: { startedAt: number; isNew: boolean }): void {
  const { call: { timeoutMs }, module } = running;
  const guardedAt = isNew ? performance.now() : startedAt;
  try {
    runGuarded(timeoutMs, () => {
      if (isNew) instance.setUp(bounds(running.call));
      complete(instance, startedAt);
      while (!module.fresh && endedAt - guardedAt < GUARD_WINDOW_MS) {
        const next = oldestRunnable();
        if (next === undefined || !isAlike(next.call, running.call) || !take(next)) return;
        begin(next);
        complete(instance, endedAt);
      }
    });
    if (module.fresh) instance.close();
    else cache.put(running.call, instance);
  } catch (error) {
    failWith(error, instance);
    cache.close(running.call, instance);
  } finally {
    sink.end();
  }
}

/** Whether two calls may share an instance and a guard. */
function isAlike(a: SlotCall, b: SlotCall): boolean {
  return a.moduleId === b.moduleId && a.memoryPages === b.memoryPages && a.requesterNumber === b.requesterNumber &&
    a.timeoutMs === b.timeoutMs;
}

/** Ends the present call with what stopped it. */
function failWith(error: unknown, instance: WarmInstance | undefined): void {
  const { timeoutMs, instructions } = running.call;
  fail(explainFailure(error, { instance, refusal: sink.refusal, timeoutMs, instructions }));
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

function begin(next: Runnable): void {
  running = next;
  const { outputBytes, wantsEvents, streamsOutput } = next.call;
  sink.begin({ ...HANDLERS, outputBytes, wantsEvents, streamsOutput });
}

/** What the running call says goes to the pool. */
const HANDLERS: Pick<SinkOptions, "isCanceled" | "onEvent" | "onAsk" | "onChunk"> = {
  isCanceled: () => slots.isCanceled(running.slot),
  onEvent: (event) => post({ type: "event", callNumber: running.callNumber, event }),
  onAsk: (request, { memory: answer }) => post({ type: "ask", callNumber: running.callNumber, request, answer }),
  onChunk: (bytes, check) => {
    const { slot, callNumber } = running;
    slots.waitUnread(slot, bytes.length, check);
    post({ type: "chunk", callNumber, piece: pieces.put(bytes), length: bytes.length });
  },
};

function bounds({ memoryPages, wantsEvents, instructions }: SlotCall): InstanceCall {
  return { bufferBytes: memoryPages * 65_536, wantsLogs: wantsEvents, instructions };
}

/** Calls the plugin and hands the outcome over. Throws when the plugin was stopped in the middle. */
function complete(instance: WarmInstance, startedAt: number): void {
  const { slot, callNumber, call, module } = running;
  const input = call.inputInSlot ? slots.input(slot, call.inputLength) : inputs.get(callNumber)!;
  if (!call.inputInSlot) inputs.delete(callNumber);
  const last = instance.call(module.functions[call.functionIndex]!, input, bounds(call));
  if (sink.refusal !== undefined) throw sink.refusal;
  const { left } = instance.meter;
  // Its last stretch may have gone over the budget without another test; it returned in good order, too.
  if (left < 0) return fail(budgetIsOver(call.instructions));
  const error = instance.error();
  // A plugin that reports an error returned in good order; its instance may go on.
  if (error !== undefined) return fail(pluginFailed(error));
  const output = sink.finish(last);
  const instructions = call.instructions - left;
  endedAt = performance.now();
  const wallMicros = Math.ceil((endedAt - startedAt) * 1000);
  if (output.length <= SLOT_BYTES && !sink.posted) {
    slots.finish(slot, callNumber, { output, wallMicros, instructions });
    if (unannouncedSince === 0) unannouncedSince = endedAt;
    else if (endedAt - unannouncedSince > ANNOUNCE_MS) announce();
    return;
  }
  post({ type: "output", callNumber, output: shared(output), outputBytes: sink.outputBytes, wallMicros, instructions });
  slots.move(slot, callNumber, SLOT_STATE.running, SLOT_STATE.posted);
}

/** Ends the present call with a failure. */
function fail({ code, message }: CallFailure): void {
  const { slot, callNumber } = running;
  endedAt = performance.now();
  inputs.delete(callNumber);
  post({ type: "failure", callNumber, code, message });
  slots.move(slot, callNumber, SLOT_STATE.running, SLOT_STATE.posted);
}
