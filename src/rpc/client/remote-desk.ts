import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import {
  ANONYMOUS,
  type CallContext,
  fromHex,
  type Hex32,
  newUlid,
  NodeError,
  type PaymentDesk,
  type SignedAccount,
  type SignedOffer,
  type SignedQuote,
  type Voucher,
} from "../../core/mod.ts";
import { PaymentService } from "../../gen/velas/sphere/v1/payment_pb.ts";
import { accountFromProto, signedOfferFromProto, signedQuoteFromProto } from "../payment-convert.ts";
import { explain } from "./failures.ts";
import { isUnknownService, type Peer } from "./peer.ts";

const { method } = PaymentService;

/** The desk where another node is paid. A node that takes no money has none: every method throws `unimplemented`. */
export class RemoteDesk implements PaymentDesk {
  readonly #peer: Peer;

  constructor(peer: Peer) {
    this.#peer = peer;
  }

  async offer(signal: AbortSignal): Promise<SignedOffer> {
    const ctx = { requester: ANONYMOUS, signal, requestId: newUlid(this.#peer.options.clock.now()) } as const;
    return signedOfferFromProto(await this.#call(method.getOffer, {}, ctx), this.#peer.target);
  }

  async quote(
    channelId: Hex32,
    ctx: CallContext,
    { costTable = 0 }: { readonly costTable?: number | undefined } = {},
  ): Promise<{ quote: SignedQuote; account: SignedAccount }> {
    const { target } = this.#peer;
    const request = { channelId: bytesOf(channelId), costTable };
    const { quote, signature, account } = await this.#call(method.getQuote, request, ctx);
    return { quote: signedQuoteFromProto(quote, { signature, target }), account: accountFromProto(account, target) };
  }

  async pay(voucher: Voucher, signature: Uint8Array, ctx: CallContext): Promise<SignedAccount> {
    const { account } = await this.#call(method.sendVoucher, {
      channelId: bytesOf(voucher.channelId),
      cumulative: String(voucher.cumulative),
      signature: signature as Uint8Array<ArrayBuffer>,
    }, ctx);
    return accountFromProto(account, this.#peer.target);
  }

  async account(channelId: Hex32, ctx: CallContext): Promise<SignedAccount> {
    const { account } = await this.#call(method.getAccount, { channelId: bytesOf(channelId) }, ctx);
    return accountFromProto(account, this.#peer.target);
  }

  async #call<I extends DescMessage, O extends DescMessage>(
    desc: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    ctx: CallContext,
  ): Promise<MessageShape<O>> {
    const peer = this.#peer;
    // Everything here may be repeated: a voucher counts once however often it comes.
    const rules = { timeoutMs: peer.options.requestTimeoutMs, repeatable: true };
    try {
      return await peer.call(
        ctx,
        rules,
        async ({ signal, timeoutMs, metadata }) =>
          (await peer.transport.unary(desc, signal, timeoutMs, metadata, request)).message,
      );
    } catch (reason) {
      if (!isUnknownService(reason)) throw explain(reason, peer.target);
      throw new NodeError("unimplemented", `${peer.target} takes no money: it has no PaymentService`, {
        data: { target: peer.target },
      });
    }
  }
}

function bytesOf(hex: Hex32): Uint8Array<ArrayBuffer> {
  return fromHex(hex) as Uint8Array<ArrayBuffer>;
}
