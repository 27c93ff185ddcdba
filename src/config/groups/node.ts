import * as z from "zod";
import { choice, duration, optionalPath, path, secret, size, text, texts, toggle } from "../setting.ts";

/** A limit of bytes a second in one direction. */
function bandwidth(what: string) {
  return size({
    default: "0",
    min: 0,
    max: 2 ** 40,
    description:
      `${what} in a second, with a second's worth at once; 0 is no limit. Little makes others wait until they give up: 1 MiB is a good least`,
  });
}

/** The node itself. */
export const node = z.strictObject({
  name: text({
    default: "velas-sphere",
    pattern: /^[^\p{Cc}]{1,64}$/u,
    expectation: "a text of 1 to 64 characters without control characters",
    description: "The name that the node tells others. It is public, so the machine's own name is not taken",
    shortFlag: "name",
  }),
  dataDir: path({
    default: "~/.velas-sphere",
    description: "The folder for the node key, the database and the plugins. One process at a time can have it",
    shortFlag: "data-dir",
  }),
  region: text({
    default: "",
    pattern: /^(?:[\x21-\x7e][\x20-\x7e]{0,31})?$/,
    expectation: "a text of up to 32 printable ASCII characters",
    description: "Where the node is, in words that others compare, such as eu-west. Files are spread over regions",
  }),
  open: toggle({
    default: false,
    description:
      "Serve strangers without pay on an address that other machines reach. Without it, rpc.listen must be loopback",
    shortFlag: "open",
  }),
  insecure: toggle({
    default: false,
    description:
      "Speak plaintext on addresses that other machines reach: behind a proxy that ends TLS, or in a network that is trusted. Without it rpc.listen and rest.listen need a certificate there",
    shortFlag: "insecure",
  }),
  ownCertificate: toggle({
    default: false,
    description:
      "Speak TLS where other machines reach a listener that has no certificate file, with a certificate that the node makes itself: tls/own.crt in the data directory. Others trust it by their rpc.tlsCaFile",
    shortFlag: "own-certificate",
  }),
  hostNames: texts({
    default: [],
    expectation: "a list of DNS names and IP addresses",
    description:
      "The names by which others reach the node, for its own certificate, beside the addresses it listens on",
  }),
  allowNetworks: texts({
    default: [],
    expectation: 'a list such as "127.0.0.0/8" or "10.1.2.3"',
    description:
      "Networks and addresses that are not public and that URLs may lead to all the same: plugin installs, webhooks, HTTP of plugins by name; and targets that a token without the scope admin names. Without it the node refuses loopback, private, link-local and other special addresses",
  }),
  bytesInPerSecond: bandwidth("What all others together may send of shards, and this node read of its own files,"),
  bytesOutPerSecond: bandwidth("What all others together may read of shards, and this node send of its own files,"),
  peerBytesInPerSecond: bandwidth("What each other node may send of shards"),
  peerBytesOutPerSecond: bandwidth("What each other node may read of shards"),
  keyPassphrase: secret({
    minLength: 1,
    description:
      "Encrypts the node key when it is made and the master key of files, and opens them. Without one the key files are plain and only their owner may read them",
  }),
  keyPassphraseFile: optionalPath({ description: "A file that holds node.keyPassphrase, such as a mounted secret" }),
});

/** The log. */
export const log = z.strictObject({
  level: choice(["debug", "info", "warn", "error", "silent"], {
    default: "info",
    description: "The least serious lines to write",
  }),
  format: choice(["auto", "json", "pretty"], {
    default: "auto",
    description: "JSON lines for programs, pretty lines for people; auto is pretty on a terminal",
  }),
});

/** Shutdown. */
export const shutdown = z.strictObject({
  graceMs: duration({
    default: "25s",
    min: 0,
    max: 3_600_000,
    description:
      "How long running tasks may take to finish after SIGTERM. Within the 30 s that Kubernetes gives; what does not finish is run again after the next start",
  }),
});
