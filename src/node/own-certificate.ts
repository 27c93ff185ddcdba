import { Buffer } from "node:buffer";
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { dirname } from "node:path";
import { domainToASCII } from "node:url";
import { type Config, dataPaths, isLoopback, parseAddress } from "../config/mod.ts";
import { NodeError, type NodeId } from "../core/mod.ts";
import { selfSigned } from "./self-signed.ts";
import type { TlsKeys } from "./tls-keys.ts";

/** Long, since callers are told of it by hand. */
const LIFETIME_MS = 10 * 365 * 86_400_000;
const RENEW_BEFORE_MS = 60 * 86_400_000;
/** Clocks of callers may be behind. */
const LEEWAY_MS = 3_600_000;
const LOCAL_NAMES = ["localhost", "127.0.0.1", "::1"];

/** The names that the node's own certificate is for: those of `node.hostNames`, where it listens, and this machine. */
export function ownNames({ node, rpc, rest }: Config): string[] {
  const hosts = [...rpc.listen, rest.listen].map((listen) => parseAddress(listen)!.host);
  const named = hosts.filter((host) => !isLoopback(host) && !/^[0.:]+$/.test(host));
  return [...new Set([...node.hostNames, ...named, ...LOCAL_NAMES])].map((name) => domainToASCII(name) || name);
}

/**
 * Reads the node's own certificate; makes one when there is none, when it is for other names, or when it soon expires. The key stays the same.
 * Throws `config_invalid` when a name can be in no certificate, or the files cannot be read or written.
 */
export function ownCertificate(
  { dataDir, nodeId, names }: { readonly dataDir: string; readonly nodeId: NodeId; readonly names: readonly string[] },
): TlsKeys {
  const { ownCertificate: certFile, ownCertificateKey: keyFile } = dataPaths(dataDir);
  try {
    mkdirSync(dirname(keyFile), { recursive: true, mode: 0o700 });
    const key = readKey(keyFile) ?? makeKey(keyFile);
    const found = contentOf(certFile);
    const isCurrent = found !== undefined && covers(new X509Certificate(found), key, names);
    const cert = isCurrent ? found : write(certFile, makeCertificate(key, nodeId, names), 0o644);
    return { cert: Buffer.from(cert), key: Buffer.from(exported(key)) };
  } catch (cause) {
    if (cause instanceof NodeError) throw cause;
    throw new NodeError(
      "config_invalid",
      `Cannot keep the node's own certificate in ${certFile}: ${
        (cause as Error).message
      }. Remove it to have it made anew`,
      { cause, data: { path: certFile } },
    );
  }
}

function makeCertificate(key: KeyObject, nodeId: NodeId, names: readonly string[]): string {
  const now = Date.now();
  return selfSigned({ key, commonName: nodeId, names, notBefore: now - LEEWAY_MS, notAfter: now + LIFETIME_MS });
}

/** Whether a certificate is of this key, for all these names, and will be for a while. */
function covers(certificate: X509Certificate, key: KeyObject, names: readonly string[]): boolean {
  const isFor = (name: string) =>
    (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined;
  return certificate.checkPrivateKey(key) && Date.parse(certificate.validTo) - Date.now() > RENEW_BEFORE_MS &&
    names.every(isFor);
}

function readKey(path: string): KeyObject | undefined {
  const pem = contentOf(path);
  return pem === undefined ? undefined : createPrivateKey(pem);
}

function makeKey(path: string): KeyObject {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  write(path, exported(privateKey), 0o600);
  return privateKey;
}

function exported(key: KeyObject): string {
  return String(key.export({ type: "pkcs8", format: "pem" }));
}

/** Writes a file so that it is there as a whole or not at all. */
function write(path: string, text: string, mode: number): string {
  writeFileSync(`${path}.new`, text, { mode });
  renameSync(`${path}.new`, path);
  return text;
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
