import { addressOf, type DigestSigner, NodeError, type NodeId, SIGNATURE_BYTES } from "../core/mod.ts";

/** secp256k1 in WASM (libsecp256k1 by libauth): about ten times as fast as pure JavaScript. */
export interface Curve {
  /** As `recoverDigestSigner` of core. */
  recover(digest: Uint8Array, signature: Uint8Array): NodeId;
  /** For a key's {@link NodeKey.signingWith}. */
  readonly sign: DigestSigner;
}

/** Half of the curve's order, above which s is malleable (EIP-2). */
const HALF_ORDER = BigInt("0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

let loading: Promise<Curve> | undefined;

/** Loads the curve, once a process; a node that takes no money never does. */
export function loadCurve(): Promise<Curve> {
  return loading ??= load();
}

async function load(): Promise<Curve> {
  // The package's main module awaits at its top level, which a CommonJS bundle cannot hold.
  const { instantiateSecp256k1 } = await import("@bitauth/libauth/build/lib/crypto/secp256k1.js");
  const wasm = await instantiateSecp256k1(crypto.getRandomValues(new Uint8Array(32)));
  return {
    recover(digest, signature) {
      const v = signature[64];
      if (signature.length !== SIGNATURE_BYTES || (v !== 27 && v !== 28)) throw noSignature();
      const s = BigInt(`0x${Buffer.from(signature.subarray(32, 64)).toString("hex")}`);
      if (s > HALF_ORDER) throw noSignature();
      const key = wasm.recoverPublicKeyUncompressed(signature.subarray(0, 64), (v - 27) as 0 | 1, digest);
      if (typeof key === "string") throw noSignature();
      return addressOf(key);
    },
    sign(digest, secretKey) {
      const signed = wasm.signMessageHashRecoverableCompact(secretKey, digest);
      if (typeof signed === "string") throw new NodeError("internal", `The digest was not signed: ${signed}`);
      const signature = new Uint8Array(SIGNATURE_BYTES);
      signature.set(signed.signature);
      signature[64] = 27 + signed.recoveryId;
      return signature;
    },
  };
}

function noSignature(): NodeError {
  return new NodeError(
    "invalid_argument",
    "The signature is not one that any key makes: 65 bytes r, s (low), v (27 or 28)",
  );
}
