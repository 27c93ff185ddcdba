import { NodeError, type NodeId, type RequesterId } from "../core/mod.ts";

/** Services that everybody may call: who the node is and whether it is well, and what has a door of its own (`owner-access.ts`). */
const OPEN = /^\/(?:grpc\.(?:health|reflection)\.|velas\.sphere\.v1\.(?:NodeService|FileService)\/)/;

/** The nodes that a node serves, when it does not serve everybody. */
export class AllowList {
  readonly #nodes: ReadonlySet<string>;

  constructor(nodes: readonly NodeId[]) {
    this.#nodes = new Set(nodes.map((node) => node.toLowerCase()));
  }

  /** Why a call is not served; undefined when it is. Only a signature says who calls: a name proves nothing. */
  refusal(path: string, signer: RequesterId | undefined): NodeError | undefined {
    if (OPEN.test(path)) return undefined;
    if (signer === undefined) {
      return new NodeError("unauthenticated", "This node serves only nodes that it knows (rpc.allow): sign the call");
    }
    if (this.#nodes.has(signer.toLowerCase())) return undefined;
    return new NodeError(
      "permission_denied",
      `This node does not serve ${signer}: its operator adds those that it serves to rpc.allow`,
      { data: { requester: signer } },
    );
  }
}
