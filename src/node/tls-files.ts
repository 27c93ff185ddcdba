import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import * as tls from "node:tls";
import { type Config, servesOwnCertificate, TLS_GROUPS, type TlsGroup } from "../config/mod.ts";
import { NodeError, type NodeId } from "../core/mod.ts";
import { ownCertificate, ownNames } from "./own-certificate.ts";
import type { ReloadPart } from "./live-config.ts";
import type { TlsKeys } from "./tls-keys.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** What serves a certificate. */
interface TlsServer {
  setTls(keys: TlsKeys): void;
}

/** The certificates that the listeners serve, which are renewed while the node runs. */
export class TlsFiles implements ReloadPart {
  readonly #keys = new Map<TlsGroup, TlsKeys>();
  readonly #servers = new Map<TlsGroup, TlsServer>();
  readonly #nodeId: NodeId;

  /**
   * Reads the files of a configuration, and makes the node's own certificate where it wants that. Throws `config_invalid` when one cannot be
   * read or written, or key and certificate do not belong together.
   */
  constructor(config: Config, nodeId: NodeId) {
    this.#nodeId = nodeId;
    for (const group of TLS_GROUPS) {
      const keys = this.#read(config, group);
      if (keys !== undefined) this.#keys.set(group, keys);
    }
  }

  /** What a listener serves; undefined for one without TLS. */
  of(group: TlsGroup): TlsKeys | undefined {
    return this.#keys.get(group);
  }

  /** Names the server that is told of renewed certificates. */
  serve(group: TlsGroup, server: TlsServer): void {
    this.#servers.set(group, server);
  }

  /** Reads the files again, also when their names are the same: a certificate is renewed in its place. */
  prepare(next: Config): { readonly applied: readonly string[]; apply(): void } {
    const renewed = [...this.#keys].flatMap(([group, old]) => {
      const keys = this.#read(next, group);
      const isNew = keys !== undefined && !(equal(keys.cert, old.cert) && equal(keys.key, old.key));
      return isNew ? [{ group, keys }] : [];
    });
    return {
      applied: renewed.map(({ group }) => `${group}.tlsCertFile`),
      apply: () => {
        for (const { group, keys } of renewed) {
          this.#keys.set(group, keys);
          this.#servers.get(group)?.setTls(keys);
        }
      },
    };
  }

  #read(config: Config, group: TlsGroup): TlsKeys | undefined {
    if (!servesOwnCertificate(config, group)) return readKeys(config, group);
    return ownCertificate({ dataDir: config.node.dataDir, nodeId: this.#nodeId, names: ownNames(config) });
  }
}

/**
 * Whom calls to other nodes trust: the issuers of `rpc.tlsCaFile` beside those of the runtime. Throws `config_invalid` for a file that
 * cannot be read or has no certificate.
 */
export function trustedIssuers({ rpc: { tlsCaFile } }: Config): { tls?: tls.ConnectionOptions } {
  if (tlsCaFile === undefined) return {};
  const own = Buffer.from(pemOf(tlsCaFile)).toString("latin1").match(CERTIFICATE) ?? [];
  try {
    if (own.length === 0) throw new Error("it has no CERTIFICATE block");
    for (const pem of own) new X509Certificate(pem);
  } catch (cause) {
    throw new NodeError("config_invalid", `${tlsCaFile} has no certificates in PEM: ${(cause as Error).message}`, {
      cause,
      data: { path: tlsCaFile },
    });
  }
  return { tls: { ca: [...tls.rootCertificates, ...own] } };
}

function readKeys(config: Config, group: TlsGroup): TlsKeys | undefined {
  const { tlsCertFile, tlsKeyFile } = config[group];
  if (tlsCertFile === undefined || tlsKeyFile === undefined) return undefined;
  const keys = { cert: pemOf(tlsCertFile), key: pemOf(tlsKeyFile) };
  let fits: boolean;
  try {
    fits = new X509Certificate(Buffer.from(keys.cert)).checkPrivateKey(createPrivateKey(Buffer.from(keys.key)));
  } catch (cause) {
    throw new NodeError(
      "config_invalid",
      `${tlsCertFile} and ${tlsKeyFile} are no certificate and key in PEM: ${(cause as Error).message}`,
      { cause, data: { path: tlsCertFile } },
    );
  }
  if (fits) return keys;
  throw new NodeError(
    "config_invalid",
    `${tlsKeyFile} is not the key of the certificate ${tlsCertFile}: renew both, then reload`,
    { data: { path: tlsKeyFile } },
  );
}

function pemOf(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new NodeError("config_invalid", `Cannot read ${path}: ${(cause as Error).message}`, {
      cause,
      data: { path },
    });
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
