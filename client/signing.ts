import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { concatBytes, randomBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { recoverSigner } from "../src/core/identity.ts";
import { type NodeInfo, NodeInfoSchema, NodeService } from "../src/gen/velas/sphere/v1/node_pb.ts";
import type { ClientKey } from "./key.ts";
import { type ClientSession, openSession, signRequest } from "./session.ts";
import { calling, SphereError } from "./sphere-error.ts";

const SESSION_MS = 12 * 3_600_000;
/** What is left of a session when another is opened. */
const MARGIN_MS = SESSION_MS / 10;

/** In whose name a client signs its calls. */
export type Signing =
  | {
    readonly key: ClientKey;
    /** The node id that must answer; without it whichever node answers at the address is signed for. */
    readonly provider?: string;
  }
  | { readonly session: ClientSession };

/** Signs each call of a client to its one node: under a session that was given, or under sessions that it opens itself. */
export class CallSigner {
  readonly #signing: Signing;
  readonly #plain: Transport;
  #opened: Promise<ClientSession> | undefined;

  /** The transport is one that does not sign; by it the node is asked who it is. */
  constructor(signing: Signing, plain: Transport) {
    this.#signing = signing;
    this.#plain = plain;
  }

  /** Signs what goes through it. It must be the last interceptor, and the transport send plain binary bodies. */
  readonly interceptor: Interceptor = (next) => async (request) => {
    const session = await this.#session();
    const path = `/${request.service.typeName}/${request.method.name}`;
    const body = request.stream ? "stream" : toBinary(request.method.input, request.message);
    request.header.set("velas-session", encoded(session.certificate));
    request.header.set("velas-signature", encoded(signRequest(session, { path, body })));
    try {
      return await next(request);
    } catch (error) {
      // The node may be another one since: the next call asks.
      if (SphereError.from(error).code === "unauthenticated") this.#opened = undefined;
      throw error;
    }
  };

  async #session(): Promise<ClientSession> {
    const signing = this.#signing;
    if ("session" in signing) {
      if (signing.session.expiresAt > Date.now()) return signing.session;
      throw new SphereError(
        "unauthenticated",
        `The session ended at ${new Date(signing.session.expiresAt).toISOString()}: have another one opened`,
      );
    }
    const known = await this.#opened;
    if (known !== undefined && known.expiresAt - Date.now() > MARGIN_MS) return known;
    const opening = this.#open(signing);
    this.#opened = opening;
    opening.catch(() => {
      if (this.#opened === opening) this.#opened = undefined;
    });
    return await opening;
  }

  async #open({ key, provider }: Extract<Signing, { key: ClientKey }>): Promise<ClientSession> {
    const { nodeId, chainId } = await whoIs(this.#plain);
    if (provider !== undefined && provider.toLowerCase() !== nodeId.toLowerCase()) {
      throw new SphereError("target_misbehaved", `The node at this address is ${nodeId}, not ${provider}`);
    }
    return openSession(key, { provider: nodeId, chainId: Number(chainId), expiresAt: Date.now() + SESSION_MS });
  }
}

/** Asks a node who it is, and checks its signature. */
async function whoIs(transport: Transport): Promise<NodeInfo> {
  const nonce = Uint8Array.from(randomBytes(16));
  const { info, signature } = await calling(() => createClient(NodeService, transport).getInfo({ nonce }));
  try {
    const node = fromBinary(NodeInfoSchema, info);
    const signer = recoverSigner(concatBytes(utf8ToBytes("velas-sphere node info v1\n"), info), signature);
    if (signer.toLowerCase() !== node.nodeId.toLowerCase()) throw new Error(`It is signed by ${signer}`);
    if (encoded(node.nonce) !== encoded(nonce)) throw new Error("It answers another question");
    return node;
  } catch (cause) {
    throw new SphereError("target_misbehaved", "The node does not prove who it is", { cause });
  }
}

/** Bytes in base64url, without padding. */
function encoded(bytes: Uint8Array): string {
  return base64Encode(bytes, "url");
}
