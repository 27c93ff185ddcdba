/** What a plugin asks the node for while it runs, beyond what its own worker can give. */
export type HostRequest =
  | { readonly type: "now" }
  /** The next part of an input that comes as a stream; an answer without bytes is its end. */
  | { readonly type: "input"; readonly length: number }
  | { readonly type: "kv-get"; readonly key: string }
  /** Without a value the key is removed. */
  | { readonly type: "kv-set"; readonly key: string; readonly value?: Uint8Array }
  | { readonly type: "file-size"; readonly name: string }
  | { readonly type: "file-read"; readonly name: string; readonly offset: number; readonly length: number }
  | { readonly type: "file-write"; readonly name: string; readonly content: Uint8Array }
  /** The request as JSON, as Extism's kits write it. */
  | { readonly type: "http"; readonly request: string; readonly body: Uint8Array };

/** What an answer is made of; undefined stands for what is not there. */
export interface HostAnswer {
  readonly bytes?: Uint8Array;
  readonly number?: number;
  /** Of an HTTP response: its headers as JSON. */
  readonly headers?: string;
}

/** The largest answer, in bytes. */
export const ANSWER_BYTES = 16 << 20; // 16 MiB

/** Answers a request, or throws a NodeError that ends the call. */
export type AnswerRequest = (request: HostRequest) => Promise<HostAnswer>;
