import { readFile } from "node:fs/promises";
import { NodeError } from "../core/mod.ts";

/** The files of a listener's configuration; both or none. */
export interface TlsFiles {
  readonly tlsCertFile?: string | undefined;
  readonly tlsKeyFile?: string | undefined;
}

/** Certificate chain and key in PEM. */
export interface TlsKeys {
  readonly cert: Uint8Array;
  readonly key: Uint8Array;
}

/** Reads a listener's certificate and key, if it has any. Throws `config_invalid` when a file cannot be read. */
export async function readTlsFiles({ tlsCertFile, tlsKeyFile }: TlsFiles): Promise<{ tls?: TlsKeys }> {
  if (tlsCertFile === undefined || tlsKeyFile === undefined) return {};
  return { tls: { cert: await pemOf(tlsCertFile), key: await pemOf(tlsKeyFile) } };
}

async function pemOf(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new NodeError("config_invalid", `Cannot read ${path}: ${(cause as Error).message}`, {
      cause,
      data: { path },
    });
  }
}
