import type { Transport } from "@connectrpc/connect";
import type { Files } from "./files.ts";
import type { ClientKey } from "./key.ts";
import { Payments } from "./payments.ts";
import { Tasks } from "./tasks.ts";

export interface ClientParts {
  readonly transport: Transport;
  readonly files: Files;
  /** Signs vouchers; without it the client can pay nothing. */
  readonly key?: ClientKey;
  /** Lets connections go. */
  readonly close?: () => void;
}

/** A node, as a program calls it. */
export class SphereClient {
  readonly tasks: Tasks;
  readonly files: Files;
  readonly payments: Payments;
  readonly #close: () => void;

  constructor({ transport, files, key, close = () => {} }: ClientParts) {
    this.tasks = new Tasks(transport);
    this.files = files;
    this.payments = new Payments(transport, key);
    this.#close = close;
  }

  close(): void {
    this.#close();
  }
}
