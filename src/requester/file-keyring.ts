import { hkdfSync } from "node:crypto";
import { x25519 } from "@noble/curves/ed25519.js";

/** What opens a requester's files. 32 bytes each. */
export interface FileKeyring {
  readonly masterKey: Uint8Array;
  readonly shareSecret: Uint8Array;
  readonly sharePublic: Uint8Array;
}

/** All keys come from the master key, so that its backup is enough. */
export function fileKeyringOf(masterKey: Uint8Array): FileKeyring {
  const shareSecret = new Uint8Array(hkdfSync("sha256", masterKey, new Uint8Array(0), "velas-sphere/1 share key", 32));
  return { masterKey, shareSecret, sharePublic: x25519.getPublicKey(shareSecret) };
}
