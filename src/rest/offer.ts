import { NodeError, type PaymentAdmin, RATE_NAMES, type SignedOffer, toHex } from "../core/mod.ts";
import { json } from "./context.ts";
import { failures, jsonContent } from "./openapi.ts";
import { SignedOfferJson } from "./payment-schemas.ts";
import { addRoute } from "./routes.ts";
import type { RestApp } from "./routes.ts";

/** Where anybody reads a node's signed prices, without a token: a change of price costs no gas. */
export const OFFER_PATH = "/.well-known/velas-sphere/offer";

/** The node's prices, for everybody. */
export function addOfferRoute(app: RestApp, payments: Pick<PaymentAdmin, "offer"> | undefined): void {
  addRoute(app, {
    method: "get",
    path: OFFER_PATH,
    tags: ["Payments"],
    operationId: "getOffer",
    summary: "See the node's prices",
    description:
      'The node\'s word on its prices until they expire, signed by its key (EIP-712, domain "Velas Sphere Market"). Public: it needs no token.',
    security: [],
    responses: { 200: jsonContent(SignedOfferJson, "The signed offer."), ...failures("not_found") },
  }, async () => {
    const signed = await payments?.offer();
    if (signed !== undefined) return json(offerJson(signed), 200, { "Cache-Control": "no-cache" });
    throw new NodeError(
      "not_found",
      "This node takes no money and has no offer; its operator sets payments.rpcUrls and prices when it is to",
    );
  });
}

function offerJson({ settlement: { chainId, channels }, offer, signature }: SignedOffer) {
  const { provider, rates, defaultTimeoutMs, defaultOutputBytes, maxInputBytes, costTable, issuedAt, expiresAt } =
    offer;
  const amounts = Object.fromEntries(RATE_NAMES.map((name) => [name, String(rates[name])]));
  return {
    chainId,
    channels,
    offer: {
      provider,
      rates: { token: rates.token, ...amounts },
      defaultTimeoutMs,
      defaultOutputBytes,
      maxInputBytes,
      ...(costTable !== undefined && { costTable }),
      issuedAt,
      expiresAt,
    },
    signature: toHex(signature),
  };
}
