import * as z from "zod";
import {
  address,
  addresses,
  addressSchema,
  choice,
  duration,
  externalPlugins,
  integer,
  optionalPath,
  path,
  secret,
  size,
  text,
  texts,
  toggle,
} from "./setting.ts";

/** A plugin that runs outside the node, in any language. */
export const externalPluginSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/).meta({
    description:
      "The name that tasks give: a lower-case letter or digit, then up to 63 more, dots, hyphens, underscores",
  }),
  address: addressSchema.optional().meta({ description: "Where the plugin listens, host:port; absent with a command" }),
  command: z.array(z.string().min(1).max(4096)).min(1).max(100).optional().meta({
    description:
      "Program and arguments that serve the plugin, for the node to start, watch and stop; absent with an address",
    examples: [["python3", "plugin.py"]],
  }),
  cwd: z.string().min(1).max(4096).optional().meta({
    description: "The folder that the command runs in; by default the node's",
  }),
  env: z.array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}(=[^\0]{0,32768})?$/)).max(100).optional().meta({
    description:
      "Environment variables for the command: NAME passes the node's on, NAME=value sets one. Without it the command has PATH, HOME, LANG, LC_ALL, TZ, TMPDIR and USER only",
  }),
  startTimeoutMs: z.int().min(100).max(3_600_000).optional().meta({
    description: "How long the command may take to answer after it was started, in milliseconds; by default 30000",
  }),
  protocol: z.enum(["auto", "velas", "original"]).default("auto").meta({
    description:
      "velas: velas.sphere.v1.PluginService; original: resources.Plugin of the 2020 node; auto: ask for the first, then the second",
  }),
});

/** An external plugin in the configuration. */
export type ExternalPlugin = z.infer<typeof externalPluginSchema>;

const node = z.strictObject({
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
  allowNetworks: texts({
    default: [],
    expectation: 'a list such as "127.0.0.0/8" or "10.1.2.3"',
    description:
      "Networks and addresses that are not public and that URLs may lead to all the same: plugin installs, webhooks, HTTP of plugins by name. Without it the node refuses loopback, private, link-local and other special addresses",
  }),
  keyPassphrase: secret({
    minLength: 1,
    description:
      "Encrypts the node key when it is made and the master key of files, and opens them. Without one the key files are plain and only their owner may read them",
  }),
  keyPassphraseFile: optionalPath({ description: "A file that holds node.keyPassphrase, such as a mounted secret" }),
});

const rpc = z.strictObject({
  listen: addresses({
    min: 1,
    default: ["127.0.0.1:8081", "127.0.0.1:8083"],
    description:
      "Where other nodes reach this one. Every service answers on each address; the original had tasks on 8081 and storage on 8083",
  }),
  tlsCertFile: optionalPath({
    description: "The certificate chain (PEM) for rpc.listen; plaintext without one. Needs rpc.tlsKeyFile",
  }),
  tlsKeyFile: optionalPath({ description: "The private key (PEM) of rpc.tlsCertFile" }),
  allowedOrigins: texts({
    default: [],
    expectation: 'a list of origins such as "https://ui.example"',
    description: "Sites whose pages may call tasks and payments from a browser, by Connect or gRPC-Web",
  }),
  allow: texts({
    default: [],
    expectation: "a list of node ids, each 0x and 40 hex digits",
    description:
      "The nodes that are served, by their signatures; everybody when it is empty. With it rpc.listen may be reached by other machines",
  }),
  maxMessageBytes: size({
    default: "16MiB",
    min: 2 ** 10,
    max: 2 ** 28,
    description:
      "The largest single message. Larger inputs are streamed, so this bounds what one message can make the node hold",
  }),
  maxConcurrentStreams: integer({
    default: 256,
    min: 1,
    max: 100_000,
    description:
      "Calls at once on one connection. A peer's connection carries all its calls, so it is well above the tasks that run at once",
  }),
  maxHeaderBytes: size({
    default: "16KiB",
    min: 2 ** 10,
    max: 2 ** 20,
    description:
      "The largest headers of one call. Calls of nodes have less than 1 KiB; tokens of a proxy may need more",
  }),
  maxConnections: integer({
    default: 1024,
    min: 1,
    max: 1_000_000,
    description: "Connections at once, over all addresses. Each costs some 50 KiB and a file descriptor",
  }),
  idleTimeoutMs: duration({
    default: "5m",
    min: 1000,
    max: 86_400_000,
    description:
      "A connection without a call for this long is closed. Longer than requester.idleTimeoutMs, so that the caller closes first",
  }),
  requestTimeoutMs: duration({
    default: "15m",
    min: 100,
    max: 86_400_000,
    description:
      "The longest call, whatever deadline it asks for. Room for waiting in the queue and for tasks.maxTimeoutMs",
  }),
  callsPerSecond: integer({
    default: 0,
    min: 0,
    max: 1_000_000,
    description:
      "Calls a second from one requester, by its signature, or address, for those who do not sign. Beyond it they are refused as overloaded, with a time to wait. 0 means 2,000 where other machines reach the listener, and no limit on loopback; 1,000,000 is none",
  }),
  callsBurst: integer({
    default: 0,
    min: 0,
    max: 10_000_000,
    description: "How many of them may come at once after a pause; 0 means twice as many as in a second",
  }),
  maxUnreadBytes: size({
    default: "4MiB",
    min: 2 ** 16,
    max: 2 ** 30,
    description:
      "What one answer may have waiting for its reader before the plugin is held back, so that a caller that never reads costs no more",
  }),
});

const rest = z.strictObject({
  listen: address({
    default: "127.0.0.1:3000",
    description: "Where the REST API listens. It can do everything, so an address beyond loopback needs rest.token",
  }),
  token: secret({
    minLength: 16,
    description: "What every REST request must bear (Authorization: Bearer …). Draw it at random: openssl rand -hex 32",
  }),
  tokenFile: optionalPath({ description: "A file that holds rest.token, such as a mounted secret" }),
  tlsCertFile: optionalPath({
    description: "The certificate chain (PEM) for rest.listen; plaintext without one. Needs rest.tlsKeyFile",
  }),
  tlsKeyFile: optionalPath({ description: "The private key (PEM) of rest.tlsCertFile" }),
  allowedHosts: texts({
    default: [],
    expectation: "a list of host names",
    description:
      "Names, with or without a port, that requests may use for this node beside the listening address and localhost. Others are refused, which stops DNS rebinding",
  }),
  allowedOrigins: texts({
    default: [],
    expectation: 'a list of origins such as "https://ui.example"',
    description: "Sites whose pages may call the API from a browser, beside the node's own pages",
  }),
  maxConnections: integer({
    default: 4096,
    min: 1,
    max: 1_000_000,
    description: "Connections at once; further ones are closed at once",
  }),
  maxBodyBytes: size({
    default: "64MiB",
    min: 2 ** 10,
    max: 2 ** 40,
    description: "The largest body of a request",
  }),
  maxHeaderBytes: size({
    default: "16KiB",
    min: 2 ** 10,
    max: 2 ** 20,
    description: "The largest request line and headers together",
  }),
  requestTimeoutMs: duration({
    default: "1m",
    min: 100,
    max: 86_400_000,
    description:
      "The longest time that a request's headers, or a body that is read whole, may take to arrive. Running its task is not counted",
  }),
  idleTimeoutMs: duration({
    default: "65s",
    min: 1000,
    max: 86_400_000,
    description:
      "The longest pause in a body, between requests of a connection, and of a reader. Above the minute after which proxies close theirs, so that they do so first",
  }),
  requestsPerSecond: integer({
    default: 0,
    min: 0,
    max: 1_000_000,
    description:
      "Requests a second from one token, or address, for those without. Beyond it they are refused as overloaded, with a time to wait. 0 means 2,000 where other machines reach the listener, and no limit on loopback; 1,000,000 is none",
  }),
  requestsBurst: integer({
    default: 0,
    min: 0,
    max: 10_000_000,
    description: "How many of them may come at once after a pause; 0 means twice as many as in a second",
  }),
  maxEventStreams: integer({
    default: 256,
    min: 1,
    max: 100_000,
    description: "Streams of task events open at once",
  }),
});

const tasks = z.strictObject({
  maxQueued: integer({
    default: 4096,
    min: 1,
    max: 10_000_000,
    description: "Tasks that may wait. One more is refused as overloaded, with a time to try again",
  }),
  maxQueuedBytes: size({
    default: "128MiB",
    min: 2 ** 10,
    max: 2 ** 40,
    description: "Inputs that may wait in memory, over all tasks. An eighth of a host with 1 GiB",
  }),
  maxRunning: integer({
    default: 0,
    min: 0,
    max: 10_000,
    description:
      "Tasks in the hands of plugins at once; 0 means 32 for each of plugins.workers, so that a worker never waits between small ones",
  }),
  maxAttempts: integer({
    default: 3,
    min: 1,
    max: 100,
    description:
      "How often a task may be begun when the node stops under it. After that it fails as interrupted, since it may be what stops the node",
  }),
  queueTimeoutMs: duration({
    default: "10m",
    min: 100,
    max: 604_800_000,
    description: "A task that waited this long expires, since whoever asked has likely given up",
  }),
  defaultTimeoutMs: duration({
    default: "30s",
    min: 1,
    max: 86_400_000,
    description: "How long a task may run in its plugin when it does not say",
  }),
  maxTimeoutMs: duration({
    default: "10m",
    min: 1,
    max: 86_400_000,
    description: "The longest run that a task may ask for",
  }),
  defaultMemoryBytes: size({
    default: "64MiB",
    min: 2 ** 16,
    max: 2 ** 32,
    description: "The memory of a task that does not say. A Go plugin needs 5 MiB to start, a Rust one 1 MiB",
  }),
  maxMemoryBytes: size({
    default: "512MiB",
    min: 2 ** 16,
    max: 2 ** 32,
    description: "The most memory that a task may ask for. WASM ends at 4 GiB",
  }),
  maxInputBytes: size({
    default: "64MiB",
    min: 1,
    max: 2 ** 32,
    description: "The largest input. A WASM plugin holds it whole",
  }),
  defaultOutputBytes: size({
    default: "16MiB",
    min: 1,
    max: 2 ** 32,
    description: "The largest output of a task that does not say",
  }),
  maxOutputBytes: size({
    default: "64MiB",
    min: 1,
    max: 2 ** 32,
    description: "The largest output that a task may ask for",
  }),
  defaultInstructions: integer({
    default: 100_000_000_000,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    description:
      "The most instructions of a WASM plugin for a task that does not say: some 30 s of work. One that spends them is stopped, and its worker goes on",
  }),
  maxInstructions: integer({
    default: 2_000_000_000_000,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    description: "The most instructions that a task may ask for",
  }),
  inputIdleMs: duration({
    default: "30s",
    min: 100,
    max: 86_400_000,
    description: "How long a streamed task may wait for its next piece of input before it fails",
  }),
  retentionMs: duration({
    default: "24h",
    min: 1000,
    max: 31_536_000_000,
    description: "How long a finished task and its output are kept, and so how long its id is idempotent",
  }),
  maxStoredOutputBytes: size({
    default: "16MiB",
    min: 0,
    max: 2 ** 32,
    description: "The largest output that is kept. A larger one goes to the callers that wait for it, and is not kept",
  }),
});

const plugins = z.strictObject({
  default: text({
    default: "demo",
    description:
      "The plugin of tasks that name none, as those of the original do; empty means that tasks must name one",
  }),
  workers: integer({
    default: 0,
    min: 0,
    max: 1024,
    description: "Threads that run WASM plugins; 0 means one a core",
  }),
  maxModuleBytes: size({
    default: "32MiB",
    min: 2 ** 10,
    max: 2 ** 30,
    description: "The largest WASM module. A Go plugin has 3 MiB",
  }),
  allowUrlInstall: toggle({
    default: true,
    description:
      "Whether plugins may be installed from a URL. The node fetches it, and takes only what has the SHA-256 that was asked for",
  }),
  grants: texts({
    default: [],
    expectation: 'a list such as "weather:http:api.example.org"',
    description:
      "What WASM plugins may ask of the node, as plugin:permission; * for every plugin. Permissions are kv, clock, files.read, files.write and http:host; a plugin gets those that its manifest needs too",
  }),
  kvQuotaBytes: size({
    default: "1MiB",
    min: 2 ** 10,
    max: 2 ** 30,
    description: "What each plugin that is granted kv may keep; a key counts 1 KiB beside its value",
  }),
  external: externalPlugins(z.array(externalPluginSchema).max(1000), {
    default: [],
    description: "Plugins that run outside the node as gRPC servers",
  }),
});

const requester = z.strictObject({
  dialTimeoutMs: duration({
    default: "5s",
    min: 10,
    max: 600_000,
    description: "How long connecting to another node may take",
  }),
  idleTimeoutMs: duration({
    default: "2m",
    min: 1000,
    max: 86_400_000,
    description: "A connection to another node is closed when no call used it for this long",
  }),
  maxPeers: integer({
    default: 256,
    min: 1,
    max: 100_000,
    description: "Other nodes that it stays connected to. Beyond it the one that was idle the longest is let go",
  }),
  providers: addresses({
    min: 0,
    max: 1000,
    default: [],
    description: "Nodes to know, as in peers.static, which is the newer name; both count",
  }),
});

const peers = z.strictObject({
  static: addresses({
    min: 0,
    max: 1000,
    default: [],
    description: "Nodes that may run tasks and keep shards for this one, each as host:port",
  }),
  max: integer({
    default: 1000,
    min: 1,
    max: 10_000,
    description:
      "The most nodes that are known from the registry, and the most that are added. Of more the oldest of the worst are let go",
  }),
  probeEveryMs: duration({
    default: "5m",
    min: 1000,
    max: 86_400_000,
    description:
      "How often each is asked who it is and what it offers. One that does not answer is asked ever less often",
  }),
  probeTimeoutMs: duration({ default: "10s", min: 100, max: 120_000, description: "How long that may take" }),
  parallelProbes: integer({ default: 8, min: 1, max: 256, description: "How many are asked at once" }),
  registryEveryMs: duration({
    default: "15s",
    min: 100,
    max: 86_400_000,
    description: "How often the registry (payments.registry) is read for what is new",
  }),
  registryFromBlock: integer({
    default: 0,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    description: "The block in which the registry was deployed: earlier ones are not read",
  }),
  placeShards: toggle({
    default: true,
    description: "Whether shards may be placed at peers that only the registry or peers add named",
  }),
});

const files = z.strictObject({
  maxFileBytes: size({
    default: "1TiB",
    min: 1,
    max: 2 ** 40,
    description: "The largest file that may be put. Uploads are streamed, so it costs no memory",
  }),
  incomingBytes: size({
    default: "16GiB",
    min: 0,
    max: 2 ** 44,
    description: "Room in the data directory for uploads that can go on (POST /v1/uploads), until they are complete",
  }),
  incomingTtlMs: duration({
    default: "1d",
    min: 60_000,
    max: 366 * 86_400_000,
    description: "How long such an upload waits for its next byte before it is forgotten",
  }),
  leaseMs: duration({
    default: "30d",
    min: 10_000,
    max: 366 * 86_400_000,
    description:
      "For how long providers are asked, and paid, to keep a shard. Renewed when half of it is over and the provider has just proved the shard",
  }),
  auditIntervalMs: duration({
    default: "6h",
    min: 1000,
    max: 30 * 86_400_000,
    description: "How often providers must prove that they have the shards of a file",
  }),
  auditLeaves: integer({
    default: 32,
    min: 1,
    max: 512,
    description:
      "How many pieces of 1 KiB of a shard one audit asks for, drawn anew each time. Of a shard that has lost 1 % it finds that out with 32 in one audit of four, with 300 in 95 of 100",
  }),
  auditBytesPerSecond: size({
    default: "1MiB",
    min: 2 ** 10,
    max: 2 ** 40,
    description: "What audits of all files may receive in a second, proofs included; renewals may have as much again",
  }),
  lostAfterMs: duration({
    default: "12h",
    min: 1000,
    max: 30 * 86_400_000,
    description:
      "How long a provider may be silent before its shard counts as lost. One that says it has no such shard, or gives a wrong one, has lost it at once",
  }),
  lostAfterAudits: integer({
    default: 3,
    min: 1,
    max: 1000,
    description: "How many audits in a row must have failed, beside files.lostAfterMs, before a shard counts as lost",
  }),
  repairAt: integer({
    default: 1,
    min: 1,
    max: 10,
    description:
      "How many shards of a file must be lost before they are rebuilt. Above 1 saves traffic and takes risk; when no more may be lost they are rebuilt all the same",
  }),
  repairBytesPerSecond: size({
    default: "32MiB",
    min: 2 ** 10,
    max: 2 ** 40,
    description: "What repairs of all files may read and write in a second",
  }),
  parallel: integer({
    default: 4,
    min: 1,
    max: 256,
    description: "How many files are audited and repaired at once, and of how many leases are renewed at once",
  }),
  uploadTtlMs: duration({
    default: "1d",
    min: 1000,
    max: 366 * 86_400_000,
    description: "How long an upload that was interrupted can be gone on with",
  }),
  stallMs: duration({
    default: "10s",
    min: 100,
    max: 600_000,
    description: "How long a provider may take no bytes, or give none, before another one is used",
  }),
});

const storage = z.strictObject({
  quotaBytes: size({
    default: "10GiB",
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    description:
      "The most bytes of shards that are kept for other nodes, uploads under way included. With 0 the node keeps none",
  }),
  minFreeBytes: size({
    default: "1GiB",
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    description: "Room that shards leave on the disk for others, whatever the quota says",
  }),
  maxShardBytes: size({
    default: "320GiB",
    min: 1024,
    max: 2 ** 44,
    description: "The largest shard. That of a file of 1 TiB spread 4+2 is a little more than 256 GiB",
  }),
  maxLeaseMs: duration({
    default: "90d",
    min: 60_000,
    max: 366 * 86_400_000,
    description: "The longest lease of a shard. Its owner renews it while the shard is wanted",
  }),
  graceMs: duration({
    default: "3d",
    min: 0,
    max: 366 * 86_400_000,
    description: "How long a shard is still kept, and can be renewed, after its lease has ended",
  }),
  uploadTtlMs: duration({
    default: "1d",
    min: 60_000,
    max: 366 * 86_400_000,
    description: "How long an interrupted upload of a shard waits to go on",
  }),
  sync: toggle({
    default: true,
    description:
      "Whether an accepted task is on disk, and not only in the system's cache, before the answer leaves. Without it a power cut can lose the last ones; a crash of the node loses none",
  }),
});

/** An amount of money: a whole number in the token's smallest unit, in quotes, since JSON's numbers end at 2^53. */
function amount(options: { readonly default: string; readonly description: string }) {
  return text({
    ...options,
    pattern: /^[0-9]{1,38}$/,
    expectation: 'a whole number in quotes, such as "1000000000" (wei, or the smallest unit of the token)',
  });
}

/** The address of a contract, or nothing. */
function contract(description: string) {
  return text({
    default: "",
    pattern: /^(?:0x[0-9a-fA-F]{40})?$/,
    expectation: "an address of 0x and 40 hex digits",
    description,
  });
}

const payments = z.strictObject({
  rpcUrls: texts({
    default: [],
    expectation: "a list of URLs",
    description:
      "HTTP endpoints of the chain that this node pays and is paid on, asked in this order. Without one it works free of charge",
  }),
  chainId: integer({
    default: 0,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    description: "The number of that chain. Endpoints of another one are refused",
  }),
  channels: contract("Where the Channels contract was deployed"),
  registry: contract("Where the Registry contract was deployed; without it only configured peers are known"),
  confirmations: integer({
    default: 2,
    min: 0,
    max: 1000,
    description: "How many blocks must lie on a channel or a transaction before it is believed",
  }),
  maxHeadAgeMs: duration({
    default: "10m",
    min: 0,
    max: 86_400_000,
    description:
      "How old the newest block may be before no credit is given on the chain's word; 0 for chains that make blocks only when there is something to put in",
  }),
  deposit: amount({
    default: "0",
    description: "The deposit of the channel that is opened when a provider wants to be paid; 0 opens none by itself",
  }),
  window: amount({
    default: "0",
    description:
      "What is paid ahead of need at least, so that not every task waits for a voucher: what a provider could keep without working. A tenth of what a task may cost when that is more",
  }),
  capTask: amount({ default: "0", description: "The most that one task or storage operation may cost; 0 is no cap" }),
  capPeer: amount({ default: "0", description: "The most that a day may cost at one provider; 0 is no cap" }),
  capDay: amount({ default: "0", description: "The most that a day may cost; 0 is no cap" }),
  credit: amount({
    default: "0",
    description:
      "How far this node works for anybody, strangers too, beyond what is paid: what they can get for nothing",
  }),
  maxCredit: amount({
    default: "0",
    description: "The most credit for those who paid before: a tenth of what they have paid, up to this",
  }),
  debtAfterMs: duration({
    default: "10m",
    min: 1000,
    max: 30 * 86_400_000,
    description: "When work on credit that is not paid becomes a debt: its payer has no credit until all of it is paid",
  }),
  exitDelayMs: duration({
    default: "24h",
    min: 3_600_000,
    max: 30 * 86_400_000,
    description:
      "How long a payer's exit takes: of channels that this node opens, and the least of those that it takes",
  }),
  claimAt: amount({
    default: "0",
    description:
      "In a token other than the chain's coin, what must be unclaimed for a claim; coins are claimed at 20 times its gas",
  }),
  claimEveryMs: duration({
    default: "1m",
    min: 1000,
    max: 3_600_000,
    description: "How often channels are looked at: for deposits, for payers that leave, for what is worth claiming",
  }),
});

const prices = z.strictObject({
  token: contract("The ERC-20 to be paid in; the chain's own coin when empty"),
  gibHour: amount({ default: "0", description: "For a GiB kept for an hour" }),
  gibWritten: amount({ default: "0", description: "For a GiB that comes in: shards and inputs of tasks" }),
  gibRead: amount({ default: "0", description: "For a GiB that goes out: shards and outputs of tasks" }),
  megaInstructions: amount({ default: "0", description: "For a million instructions of a plugin" }),
  cpuSecond: amount({
    default: "0",
    description: "For a second in a plugin: the most that its instructions cost, and the price of what is not metered",
  }),
  gpuSecond: amount({ default: "0", description: "For a second of GPU" }),
  minimum: amount({ default: "0", description: "The least that a task or storage operation costs" }),
  offerMs: duration({
    default: "1h",
    min: 10_000,
    max: 30 * 86_400_000,
    description: "How long a price holds that was offered or quoted",
  }),
});

const alerts = z.strictObject({
  everyMs: duration({
    default: "30s",
    min: 100,
    max: 86_400_000,
    description: "How often it is looked for what an operator should know",
  }),
  minFreeBytes: size({
    default: "2GiB",
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    description:
      "low_disk is raised when less is free where node.dataDir lies. Above storage.minFreeBytes, so that it comes before shards are refused",
  }),
  auditFailPercent: integer({
    default: 10,
    min: 0,
    max: 100,
    description: "failing_audits is raised when more of a hundred audits of the last hour failed",
  }),
  channelLeftPercent: integer({
    default: 10,
    min: 0,
    max: 100,
    description: "channel_low is raised when a channel that this node pays on has less of a hundred parts left",
  }),
  certificateMs: duration({
    default: "14d",
    min: 0,
    max: 366 * 86_400_000,
    description: "certificate_expiring is raised when a listener's certificate ends within this time",
  }),
  webhookUrl: secret({
    minLength: 1,
    description:
      "An http or https URL that gets a POST when an alert is raised or cleared. Not shown, since such URLs often hold a token",
  }),
  webhookUrlFile: optionalPath({ description: "A file that holds alerts.webhookUrl" }),
  webhookSecret: secret({
    minLength: 16,
    description:
      "Signs what the webhook gets (webhook-signature, HMAC-SHA-256), so that the receiver knows who sent it",
  }),
  webhookSecretFile: optionalPath({ description: "A file that holds alerts.webhookSecret" }),
  webhookTimeoutMs: duration({
    default: "10s",
    min: 100,
    max: 600_000,
    description: "How long the webhook may take to answer before the message is sent again later",
  }),
});

const tracing = z.strictObject({
  otlpUrl: text({
    default: "",
    pattern: /^(?:https?:\/\/[^\s@]+)?$/,
    expectation: 'a URL such as "http://127.0.0.1:4318", without a password',
    description:
      "Where an OpenTelemetry collector takes traces (OTLP over HTTP; /v1/traces is added). Without one nothing is traced",
  }),
  samplePercent: integer({
    default: 100,
    min: 0,
    max: 100,
    description: "How many of a hundred traces that begin here are kept; calls that bring a trace follow what it says",
  }),
  callsPerSecond: integer({
    default: 100,
    min: 1,
    max: 1_000_000,
    description:
      "The most calls a second that are traced, whoever asks for it, so that tracing costs little under load",
  }),
});

const log = z.strictObject({
  level: choice(["debug", "info", "warn", "error", "silent"], {
    default: "info",
    description: "The least serious lines to write",
  }),
  format: choice(["auto", "json", "pretty"], {
    default: "auto",
    description: "JSON lines for programs, pretty lines for people; auto is pretty on a terminal",
  }),
});

const shutdown = z.strictObject({
  graceMs: duration({
    default: "25s",
    min: 0,
    max: 3_600_000,
    description:
      "How long running tasks may take to finish after SIGTERM. Within the 30 s that Kubernetes gives; what does not finish is run again after the next start",
  }),
});

/**
 * The one schema of the configuration: two levels, `group.key`. Types, defaults, units, descriptions, flags, environment names,
 * the reference page and the JSON Schema all come from it.
 */
export const configSchema = z.strictObject({
  node,
  rpc,
  rest,
  tasks,
  plugins,
  requester,
  peers,
  files,
  storage,
  payments,
  prices,
  alerts,
  tracing,
  log,
  shutdown,
});

/** What the groups are about, for the reference and `--help`. */
export const GROUP_TITLES: Readonly<Record<keyof Config, string>> = {
  node: "The node itself",
  rpc: "The RPC listener, for other nodes",
  rest: "The REST listener, for people and programs",
  tasks: "Tasks",
  plugins: "Plugins",
  requester: "Calls to other nodes",
  peers: "Knowing other nodes",
  files: "Files",
  storage: "The databases, and shards kept for other nodes",
  payments: "Money: the chain, budgets and credit",
  prices: "What this node wants for its work; all 0 is free of charge",
  alerts: "Alerts: what an operator is told of, and where",
  tracing: "Traces",
  log: "The log",
  shutdown: "Shutdown",
};

/** The effective configuration: durations in milliseconds, sizes in bytes. */
export type Config = z.infer<typeof configSchema>;
