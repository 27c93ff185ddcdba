import { join } from "node:path";

/** What lies where in a node's data directory. The node key is beside them, in `node-key.json`. */
export interface DataPaths {
  /** The folder of the LevelDB. */
  readonly database: string;
  /** The folder of the LevelDB that holds shards for other nodes. */
  readonly shards: string;
  /** The folder where plugins are found and installed. */
  readonly plugins: string;
  /** The folder of modules that requesters uploaded. */
  readonly modules: string;
  /** The folder of uploads that are not complete yet. */
  readonly incoming: string;
  /** The certificate that the node makes itself, and its key. */
  readonly ownCertificate: string;
  readonly ownCertificateKey: string;
}

/** The places in a data directory. */
export function dataPaths(dataDir: string): DataPaths {
  return {
    database: join(dataDir, "db"),
    shards: join(dataDir, "shards"),
    plugins: join(dataDir, "plugins"),
    modules: join(dataDir, "modules"),
    incoming: join(dataDir, "incoming"),
    ownCertificate: join(dataDir, "tls", "own.crt"),
    ownCertificateKey: join(dataDir, "tls", "own.key"),
  };
}
