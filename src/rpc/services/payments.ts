import type { PaymentDesk } from "../../core/mod.ts";
import { PaymentService } from "../../gen/velas/sphere/v1/payment_pb.ts";
import {
  accountToProto,
  channelIdOf,
  signedOfferToProto,
  signedQuoteToProto,
  weiFromText,
} from "../payment-convert.ts";
import { type Route, unary } from "../route.ts";

/** `velas.sphere.v1.PaymentService` on the desk where a provider is paid. */
export function paymentRoutes(desk: PaymentDesk): Route[] {
  const { method } = PaymentService;
  return [
    unary(method.getOffer, async (_, ctx) => signedOfferToProto(await desk.offer(ctx.signal))),
    unary(method.getQuote, async ({ channelId, costTable }, ctx) => {
      const payer = costTable === 0 ? {} : { costTable };
      const { quote, account } = await desk.quote(channelIdOf(channelId), ctx, payer);
      return {
        quote: signedQuoteToProto(quote),
        signature: quote.signature as Uint8Array<ArrayBuffer>,
        account: accountToProto(account),
      };
    }),
    unary(method.sendVoucher, async ({ channelId, cumulative, signature }, ctx) => {
      const voucher = { channelId: channelIdOf(channelId), cumulative: weiFromText(cumulative) };
      return { account: accountToProto(await desk.pay(voucher, signature, ctx)) };
    }),
    unary(method.getAccount, async ({ channelId }, ctx) => ({
      account: accountToProto(await desk.account(channelIdOf(channelId), ctx)),
    })),
  ];
}
