/** One server-sent event. */
export interface ServerEvent {
  /** `message` when the stream names none. */
  readonly type: string;
  readonly data: string;
  /** The last id that the stream has named so far. */
  readonly lastEventId: string;
}

export interface EventReader {
  /** Takes a piece of the stream and returns the events that it completes. */
  push(piece: Uint8Array): ServerEvent[];
  readonly lastEventId: string;
  /** How long to wait before connecting again, in milliseconds, when the stream has said so. */
  readonly retryMs: number | undefined;
}

const LINE_END = /\r\n|\r|\n/g;

/** The longest line kept, so that a stream without newlines cannot fill the memory: 16 Mi characters. */
const MAX_LINE = 16 << 20;

/**
 * Reads an event stream (WHATWG HTML §9.2.6), in pieces of any size. Lines end in LF, CRLF or CR. An event that the stream
 * breaks off in the middle is dropped. Throws a RangeError when a line has more than 16 Mi characters.
 */
export function createEventReader(): EventReader {
  const decoder = new TextDecoder("utf-8"); // drops a leading byte order mark, as the standard asks
  let buffer = "";
  /** How much of the buffer is known to hold no line end. */
  let scanned = 0;
  let data: string[] = [];
  let type = "";
  let lastEventId = "";
  let retryMs: number | undefined;

  function takeField(line: string): void {
    const colon = line.indexOf(":");
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") type = value;
    else if (name === "data") data.push(value);
    else if (name === "id" && !value.includes("\0")) lastEventId = value;
    else if (name === "retry" && /^\d+$/.test(value)) retryMs = Number(value);
  }

  return {
    push(piece) {
      buffer += decoder.decode(piece, { stream: true });
      const events: ServerEvent[] = [];
      let start = 0;
      LINE_END.lastIndex = scanned;
      for (let match = LINE_END.exec(buffer); match !== null; match = LINE_END.exec(buffer)) {
        // A CR at the end of the buffer may be half of a CRLF.
        if (match[0] === "\r" && LINE_END.lastIndex === buffer.length) break;
        const line = buffer.slice(start, match.index);
        start = LINE_END.lastIndex;
        if (line !== "") {
          takeField(line);
          continue;
        }
        if (data.length > 0) events.push({ type: type || "message", data: data.join("\n"), lastEventId });
        data = [];
        type = "";
      }
      buffer = buffer.slice(start);
      if (buffer.length > MAX_LINE) throw new RangeError("A line of the event stream is too long");
      scanned = buffer.endsWith("\r") ? buffer.length - 1 : buffer.length;
      return events;
    },
    get lastEventId() {
      return lastEventId;
    },
    get retryMs() {
      return retryMs;
    },
  };
}
