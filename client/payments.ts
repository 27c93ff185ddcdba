import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { voucherDigest } from "../src/core/deal.ts";
import { parseNodeId } from "../src/core/identity.ts";
import { toHex } from "../src/core/typed-data.ts";
import { wei } from "../src/core/wei.ts";
import { type Account, type Offer, PaymentService, type Quote } from "../src/gen/velas/sphere/v1/payment_pb.ts";
import type { ClientKey } from "./key.ts";
import { calling, SphereError } from "./sphere-error.ts";

/**
 * What a provider wants, how a channel stands at it, and payments on the channel. Every method throws a {@link SphereError}; `unimplemented`
 * where work is free. The channel itself is opened on the chain, by a wallet or by a node.
 */
export class Payments {
  readonly #client: Client<typeof PaymentService>;

  readonly #key: ClientKey | undefined;
  #settlement: Promise<{ readonly chainId: number; readonly channels: string }> | undefined;

  constructor(transport: Transport, key?: ClientKey) {
    this.#client = createClient(PaymentService, transport);
    this.#key = key;
  }

  /** The provider's prices, with its signature (EIP-712, docs/protocol.md). */
  async offer(): Promise<
    { readonly offer: Offer; readonly signature: Uint8Array }
  > {
    const { offer, signature } = await calling(() => this.#client.getOffer({}));
    if (offer === undefined) {
      throw new SphereError(
        "target_misbehaved",
        "The node answered without an offer",
      );
    }
    return { offer, signature };
  }

  /**
   * Tells the provider of a channel that pays it, by its 32-byte id, and returns prices that it promises on it. Before the first task on a
   * channel, and again when the quote has expired. The calls must be signed by the channel's payer.
   */
  async quote(channelId: Uint8Array): Promise<{ readonly quote: Quote; readonly account: Account }> {
    const { quote, account } = await calling(() => this.#client.getQuote({ channelId: Uint8Array.from(channelId) }));
    if (quote === undefined) {
      throw new SphereError("target_misbehaved", "The node answered without a quote");
    }
    return { quote, account: present(account) };
  }

  /**
   * Pays: signs a voucher over the sum of all payments on the channel, this one included, in the token's smallest unit. A lower sum than
   * before changes nothing. Never more than the channel's deposit counts.
   */
  async pay(channelId: Uint8Array, cumulative: bigint): Promise<Account> {
    const key = this.#key;
    if (key === undefined) {
      throw new SphereError("failed_precondition", "Vouchers are signed with a key: connect with signing: { key }");
    }
    const { chainId, channels } = await this.#at();
    return present(
      (await calling(() => {
        const at = { chainId, channels: parseNodeId(channels) };
        const voucher = { channelId: toHex(channelId), cumulative: wei(cumulative) };
        const signature = Uint8Array.from(key.signDigest(voucherDigest(at, voucher)));
        return this.#client.sendVoucher({
          channelId: Uint8Array.from(channelId),
          cumulative: String(cumulative),
          signature,
        });
      })).account,
    );
  }

  /** The books of a channel, which the provider tells to whoever knows its id. */
  async account(channelId: Uint8Array): Promise<Account> {
    return present((await calling(() => this.#client.getAccount({ channelId: Uint8Array.from(channelId) }))).account);
  }

  /** The chain and the contract that the provider is paid on. */
  #at(): Promise<{ readonly chainId: number; readonly channels: string }> {
    if (this.#settlement === undefined) {
      const asking = this.offer().then(({ offer }) => ({ chainId: Number(offer.chainId), channels: offer.channels }));
      this.#settlement = asking;
      asking.catch(() => this.#settlement = undefined);
    }
    return this.#settlement;
  }
}

function present(account: Account | undefined): Account {
  if (account === undefined) {
    throw new SphereError(
      "target_misbehaved",
      "The node answered without an account",
    );
  }
  return account;
}
