import type { ListenerLimits } from "../listener.ts";

/** Certificate chain and key in PEM. */
export interface TlsKeys {
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What a front is started with. */
export interface FrontSetup {
  readonly limits: ListenerLimits;
  readonly maxConnections: number;
  /** Of all fronts and the main thread ({@link ConnectionCount}); and this front's place. */
  readonly connections: SharedArrayBuffer;
  readonly place: number;
  /** The unary methods that it hands over as records. */
  readonly paths: readonly string[];
  readonly tls: TlsKeys | undefined;
  /** Whether other fronts listen on the same ports. */
  readonly sharesPort: boolean;
  readonly door: DoorKey;
}

/** How fronts reach the main thread with what they do not serve themselves. */
export interface DoorKey {
  /** Its Unix socket. */
  readonly path: string;
  /** What a connection must begin with to be believed, before its caller's address and a newline. */
  readonly token: string;
}

/** What a front is told, beside batches of records ({@link BatchWriter}). */
export type ToFront =
  | { readonly type: "listen"; readonly address: Address }
  | { readonly type: "tls"; readonly tls: TlsKeys }
  | { readonly type: "drain" }
  | { readonly type: "destroy" };

/** What a front tells, beside batches. */
export type FromFront =
  /** What it was told to do is done: answers come in the order of what was told, but for `tls`, which has none. */
  | { readonly type: "done" }
  /** It cannot listen there. */
  | { readonly type: "refused"; readonly code: string | undefined; readonly message: string }
  /** The number of its connections has changed. */
  | { readonly type: "connections" }
  | { readonly type: "warning"; readonly message: string; readonly fields: Record<string, unknown> };
