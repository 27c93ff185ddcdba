import type { NodeDescriber } from "../../core/mod.ts";
import { NodeService } from "../../gen/velas/sphere/v1/node_pb.ts";
import { encodeNodeInfo, nodeInfoMessage } from "../node-convert.ts";
import { type Route, unary } from "../route.ts";

/** `velas.sphere.v1.NodeService`: the node's description, signed afresh for each caller's nonce. */
export function nodeRoutes(node: NodeDescriber): Route[] {
  return [
    unary(NodeService.method.getInfo, ({ nonce }) => {
      const info = encodeNodeInfo(node.describe(), nonce);
      return Promise.resolve({ info, signature: Uint8Array.from(node.sign(nodeInfoMessage(info))) });
    }),
  ];
}
