import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type Account, type Offer, PaymentService } from "../src/gen/velas/sphere/v1/payment_pb.ts";
import { calling, SphereError } from "./sphere-error.ts";

/** What a provider wants, and how a channel stands at it. Every method throws a {@link SphereError}; `unimplemented` where work is free. */
export class Payments {
  readonly #client: Client<typeof PaymentService>;

  constructor(transport: Transport) {
    this.#client = createClient(PaymentService, transport);
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

  /** The books of a channel, by its 32-byte id. The call must be signed by the payer, which a node does for its owner. */
  async account(channelId: Uint8Array): Promise<Account> {
    const { account } = await calling(() => this.#client.getAccount({ channelId }));
    if (account === undefined) {
      throw new SphereError(
        "target_misbehaved",
        "The node answered without an account",
      );
    }
    return account;
  }
}
