import { NodeError, type Offer, type PaymentAdmin, RATE_NAMES, type SignedOffer, toHex } from "../core/mod.ts";
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
    scope: "open",
    summary: "See the node's prices",
    description:
      'The node\'s word on its prices until they expire, signed by its key (EIP-712, domain "Velas Sphere Market"). Public: it needs no token.',
    responses: { 200: jsonContent(SignedOfferJson, "The signed offer."), ...failures("not_found") },
  }, async () => {
    const signed = await payments?.offer();
    if (signed !== undefined) return json(signedOfferJson(signed), 200, { "Cache-Control": "no-cache" });
    throw new NodeError(
      "not_found",
      "This node takes no money and has no offer; its operator sets payments.rpcUrls and prices when it is to",
    );
  });
}

function signedOfferJson({ settlement: { chainId, channels }, offer, signature }: SignedOffer) {
  return { chainId, channels, offer: offerJson(offer), signature: toHex(signature) };
}

/** An offer as JSON shows it: amounts as text. */
export function offerJson(offer: Offer) {
  const { provider, rates, defaultTimeoutMs, defaultOutputBytes, maxInputBytes, costTable, issuedAt, expiresAt } =
    offer;
  const amounts = Object.fromEntries(RATE_NAMES.map((name) => [name, String(rates[name])]));
  return {
    provider,
    rates: { token: rates.token, ...amounts },
    defaultTimeoutMs,
    defaultOutputBytes,
    maxInputBytes,
    ...(costTable !== undefined && { costTable }),
    issuedAt,
    expiresAt,
  };
}
