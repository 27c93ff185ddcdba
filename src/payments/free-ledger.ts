/** Money set aside for one task, of which nothing is ever taken. */
export interface FreeReservation {
  /** Provider: the task has run. */
  settle(): void;
  /** Requester: the result is good. */
  commit(): void;
  /** Either: the task gave nothing. */
  release(): void;
  /** Provider: what was settled is credited. */
  refund(): void;
  /** Requester: what the other side did is not taken. */
  refuse(): void;
  /** Provider: no lease is signed for what nobody pays. */
  lease(): undefined;
  /** Requester: none is asked for. */
  checkLease(): undefined;
}

/** A ledger for nodes that work free of charge: everybody has credit, nobody pays. Serves both roles, provider and requester. */
export interface FreeLedger {
  reserve(): FreeReservation;
}

const reservation: FreeReservation = Object.freeze({
  settle() {},
  commit() {},
  release() {},
  refund() {},
  refuse() {},
  lease: () => undefined,
  checkLease: () => undefined,
});

/** The one free ledger; it has no state. */
export const freeLedger: FreeLedger = Object.freeze({ reserve: () => reservation });
