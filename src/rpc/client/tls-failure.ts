import { NodeError } from "../../core/mod.ts";

/** What runtimes say of a peer that does not speak TLS at all: OpenSSL on Node, rustls on Deno. */
const NO_TLS =
  /wrong version number|packet length too long|unexpected message|InvalidContentType|InvalidMessage|corrupt message/i;
/** A handshake that ended without protocol or cipher in common. */
const NOTHING_IN_COMMON = /alert|handshake failure|HandshakeFailure|no application protocol|NoApplicationProtocol/i;
/** Codes of OpenSSL's verification, by which Node tells why it does not trust a certificate. */
const UNTRUSTED_CODES = new Set([
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_REJECTED",
  "CERT_REVOKED",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "HOSTNAME_MISMATCH",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/**
 * A failed TLS handshake as a refusal that names the cure: `target_unreachable`, not worth trying again, with nothing sent. Undefined for
 * failures that are not TLS's own, such as a port on which nobody listens.
 */
export function explainTls(error: Error & { readonly code?: unknown }, target: string): NodeError | undefined {
  const { message } = error;
  const code = typeof error.code === "string" ? error.code : "";
  const plain = target.replace(/^https:\/\//, "");
  if (UNTRUSTED_CODES.has(code) || /invalid peer certificate/i.test(message)) {
    const why = /self.signed|issuer|verify|UnknownIssuer|CaUsedAsEndEntity/i.test(`${code} ${message}`)
      ? "name its issuer's certificate in rpc.tlsCaFile if you trust it"
      : "its operator must mend the certificate";
    return refusal(`Cannot trust the certificate of ${target} (${message}); ${why}`, target, error);
  }
  if (NO_TLS.test(message)) {
    return refusal(`${target} does not speak TLS (${message}); write ${plain} to dial it in plaintext`, target, error);
  }
  if (code.startsWith("ERR_SSL") || NOTHING_IN_COMMON.test(message)) {
    return refusal(`The TLS handshake with ${target} failed (${message})`, target, error);
  }
  return undefined;
}

function refusal(message: string, target: string, cause: Error): NodeError {
  return new NodeError("target_unreachable", message, {
    cause,
    data: { target, requestSent: false },
    retryable: false,
  });
}
