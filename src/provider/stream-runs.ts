import { type CallContext, isEnd, NodeError, type TaskEvent, type TaskSpec, toNodeError } from "../core/mod.ts";
import { EventChannel } from "./event-channel.ts";
import { boundedInput, collectInput } from "./input-stream.ts";
import { LiveTask } from "./live-task.ts";
import { goneError } from "./task-failures.ts";
import type { TaskIntake } from "./task-intake.ts";
import type { TaskParts } from "./task-parts.ts";
import type { TaskRunner } from "./task-runner.ts";
import { untilAborted } from "./until-aborted.ts";

/** A stored output is sent in pieces of this size. */
const PIECE_BYTES = 64 << 10;

export interface StreamRunsOptions {
  readonly parts: TaskParts;
  readonly intake: TaskIntake;
  readonly runner: TaskRunner;
  /** The caller of a task has gone; it may have been the last. */
  readonly leave: (live: LiveTask, signal: AbortSignal) => void;
}

/** Tasks whose input and output are streams. */
export class StreamRuns {
  readonly #options: StreamRunsOptions;
  readonly #waiting = new Set<LiveTask>();

  constructor(options: StreamRunsOptions) {
    this.#options = options;
  }

  /** Runs a task that nobody else knows: its input goes to the plugin, and its output to the caller, as they come. */
  run(spec: TaskSpec, input: AsyncIterable<Uint8Array>, ctx: CallContext): AsyncIterable<TaskEvent> {
    const { parts, intake, runner } = this.#options;
    let live: LiveTask | undefined;
    const channel = new EventChannel({
      bufferBytes: parts.settings.streamBufferBytes,
      signal: ctx.signal,
      onClose: () => live !== undefined && runner.stop(live, goneError(ctx.signal)),
    });
    if (ctx.signal.aborted) return channel;
    const bounded = boundedInput(input, parts.settings.maxLimits.inputBytes, (waits) => this.#onInput(live!, waits));
    try {
      intake.stream(spec, ctx, bounded, (added) => {
        live = added;
        live.stream = channel;
        live.addWatcher(channel);
      });
    } catch (error) {
      channel.fail(toNodeError(error));
    }
    return channel;
  }

  /**
   * Runs a task that can be asked for again. Its input decides which task it is and is read first; its output comes when it
   * has ended, since by then it may be the stored one of an earlier run.
   */
  runStored(spec: TaskSpec, input: AsyncIterable<Uint8Array>, ctx: CallContext): AsyncIterable<TaskEvent> {
    const left = new AbortController();
    const channel = new EventChannel({
      bufferBytes: this.#options.parts.settings.streamBufferBytes,
      signal: ctx.signal,
      onClose: () => left.abort(goneError(ctx.signal)),
    });
    this.#feed(channel, { spec, input, ctx, left: left.signal }).catch((error) => channel.fail(toNodeError(error)));
    return channel;
  }

  /** Fails the streams whose next piece of input has been awaited for too long. */
  stopIdle(nowMs: number): void {
    const { parts: { settings }, runner } = this.#options;
    for (const live of this.#waiting) {
      if (nowMs - live.waitsForInputSince < settings.inputIdleMs) continue;
      const message = `No input came for ${settings.inputIdleMs} ms: send it steadily, or end it`;
      runner.stop(live, new NodeError("deadline_exceeded", message));
    }
  }

  #onInput(live: LiveTask, waits: boolean): void {
    live.waitsForInputSince = this.#options.parts.clock.now();
    if (waits) this.#waiting.add(live);
    else this.#waiting.delete(live);
  }

  async #feed(
    channel: EventChannel,
    { spec, input, ctx, left }: {
      readonly spec: TaskSpec;
      readonly input: AsyncIterable<Uint8Array>;
      readonly ctx: CallContext;
      readonly left: AbortSignal;
    },
  ): Promise<void> {
    const { parts, intake } = this.#options;
    const whole = await collectInput(input, parts.settings.maxLimits.inputBytes);
    if (left.aborted) return;
    const found = await intake.join({ ...spec, input: whole }, ctx.requester, { submitted: false });
    if (!(found instanceof LiveTask)) {
      const output = found.record.state === "succeeded" ? await parts.store.body(found, "output") : undefined;
      await sendOutput(channel, output);
      channel.push({ type: "state", task: found.record });
      return;
    }
    const watcher = {
      // The end state goes behind the output.
      push: (event: TaskEvent) => event.type === "state" && isEnd(event.task.state) ? undefined : channel.push(event),
      fail: (error: NodeError) => channel.fail(error),
    };
    found.callers++;
    found.addWatcher(watcher);
    try {
      const ending = await untilAborted(found.ending, left);
      await sendOutput(channel, ending.output);
      if (isEnd(ending.record.state)) channel.push({ type: "state", task: ending.record });
      else if (ending.error !== undefined) channel.fail(ending.error);
    } finally {
      found.removeWatcher(watcher);
      this.#options.leave(found, ctx.signal);
    }
  }
}

async function sendOutput(channel: EventChannel, output: Uint8Array | undefined): Promise<void> {
  if (output === undefined) return;
  for (let offset = 0; offset < output.length; offset += PIECE_BYTES) {
    await channel.push({ type: "chunk", bytes: output.subarray(offset, offset + PIECE_BYTES) });
  }
}
