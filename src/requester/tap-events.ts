import type { TaskEvent } from "../core/mod.ts";

export interface EventTap {
  /** Sees each event, and gives what the reader gets for it. */
  readonly onEvent: (event: TaskEvent) => TaskEvent | Promise<TaskEvent>;
  /** Called once, at the end, at a failure, which it is given, or when the reader stops; before the reader hears of it. */
  readonly onClose?: (error?: unknown) => void | Promise<void>;
}

/** Passes events on. Not a generator, whose `return()` would wait for a pending `next()`. */
export function tapEvents(source: AsyncIterable<TaskEvent>, tap: EventTap): AsyncIterableIterator<TaskEvent> {
  const events = source[Symbol.asyncIterator]();
  let closed = false;
  const close = async (error?: unknown) => {
    if (closed) return;
    closed = true;
    await tap.onClose?.(error);
  };
  return {
    async next() {
      try {
        const result = await events.next();
        if (!result.done) return { done: false, value: await tap.onEvent(result.value) };
      } catch (error) {
        await close(error);
        throw error;
      }
      await close();
      return { done: true, value: undefined };
    },
    async return() {
      await Promise.all([events.return?.(), close()]);
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** Events of a source that is still being made. */
export function lateEvents(making: Promise<AsyncIterableIterator<TaskEvent>>): AsyncIterableIterator<TaskEvent> {
  // Who never reads is not told that nothing came of it.
  making.catch(() => {});
  return {
    next: async () => await (await making).next(),
    return: async () => {
      const events = await making.catch(() => undefined);
      return await events?.return?.() ?? { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** Events of which the first was read already. */
export function behind(
  first: IteratorResult<TaskEvent>,
  events: AsyncIterableIterator<TaskEvent>,
): AsyncIterableIterator<TaskEvent> {
  let isRead = false;
  return {
    next: () => {
      if (isRead) return events.next();
      isRead = true;
      return Promise.resolve(first);
    },
    return: async () => await events.return?.() ?? { done: true, value: undefined },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** The same events, to be read once. */
export function iteratorOf(events: AsyncIterable<TaskEvent>): AsyncIterableIterator<TaskEvent> {
  const iterator = events[Symbol.asyncIterator]();
  return {
    next: () => iterator.next(),
    return: async () => await iterator.return?.() ?? { done: true, value: undefined },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
