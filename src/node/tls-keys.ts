/** Certificate chain and key in PEM. */
export interface TlsKeys {
  readonly cert: Uint8Array;
  readonly key: Uint8Array;
}
