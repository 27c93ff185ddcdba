import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { getJson, sendJson } from "../api.ts";
import type { Channel, Task, TaskReceipt } from "../api-types.ts";
import { features } from "../features.ts";
import { bytes, counted, duration, fullTime } from "../format.ts";
import { Amount } from "../parts/amount.tsx";
import { Copy } from "../parts/copy.tsx";
import { Icon } from "../parts/icons.tsx";
import { Loaded, Text } from "../parts/states.tsx";
import { toast } from "../parts/toasts.tsx";
import { useResource } from "../resource.ts";

/** What the provider signed of a task, and whether that holds: its signature, and that it is of this task. */
export function ReceiptView({ task, receipt }: { readonly task: Task; readonly receipt: TaskReceipt }): JSX.Element {
  const { usage, terms } = receipt;
  const verdict = useResource<{ signed: boolean }>(
    () => sendJson("POST", "v1/receipts/check", receipt),
    [receipt.signature],
  );
  const json = JSON.stringify(receipt, null, 2);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(json);
      toast("good", "The receipt is copied");
    } catch {
      toast("bad", "The browser does not let the page copy; download it instead");
    }
  };
  return (
    <section class="paper" aria-label="Receipt">
      <header class="receipt-head">
        <h3>Receipt</h3>
        <Loaded of={verdict} rows={1}>{({ signed }) => <Verdict fault={faultOf(task, receipt, signed)} />}</Loaded>
      </header>
      <dl class="facts">
        <dt>Provider</dt>
        <dd>
          <Copy text={receipt.provider} short />
        </dd>
        <dt>Asked by</dt>
        <dd>{receipt.requester === "anonymous" ? "anonymous" : <Copy text={receipt.requester} short />}</dd>
        <dt>Ran</dt>
        <dd>
          <Text of={`${receipt.plugin} ${receipt.function}`} />
        </dd>
        <dt>Used</dt>
        <dd>
          {duration(usage.wallMicros / 1000)}, {bytes(usage.inputBytes)} in, {bytes(usage.outputBytes)} out
          {usage.instructions > 0 && `, ${counted(usage.instructions, "instruction")}`}
        </dd>
        <dt>Cost</dt>
        <dd>
          {terms === undefined ? "nothing" : (
            <>
              <Cost {...terms} />{" "}
              <span class="quiet small">
                on channel <Copy text={terms.channelId} short />
              </span>
            </>
          )}
        </dd>
        <dt>Ended</dt>
        <dd>{fullTime(new Date(receipt.finishedAt).toISOString())}</dd>
        <dt>Signature</dt>
        <dd>
          <Copy text={receipt.signature} short />
        </dd>
      </dl>
      <div class="buttons">
        <button type="button" class="button small" onClick={() => void copy()}>Copy the receipt</button>
        <Save json={json} name={`${task.id}.receipt.json`} />
      </div>
    </section>
  );
}

/** What a task cost. Its channel tells in which token; of one that this node's books do not have, nothing does. */
function Cost({ channelId, charge }: NonNullable<TaskReceipt["terms"]>): JSX.Element {
  const paid = features.value.has("payments");
  const channels = useResource<readonly Channel[]>(
    async (abort) =>
      paid ? (await getJson<{ channels: readonly Channel[] }>("v1/payments/channels", abort)).channels : [],
    [paid],
  );
  const channel = channels.value?.find((one) => one.channelId === channelId);
  return (
    <b>{channel === undefined ? `${charge} of the smallest unit` : <Amount of={charge} token={channel.token} />}</b>
  );
}

function Verdict({ fault }: { readonly fault: string | undefined }): JSX.Element {
  return fault === undefined
    ? (
      <span class="badge ok" title="The provider's signature holds, and the receipt is of this task">
        <Icon name="check" /> verified
      </span>
    )
    : (
      <span class="badge bad" role="alert">
        {fault}
      </span>
    );
}

/** What is wrong with a receipt, in words. */
function faultOf(task: Task, receipt: TaskReceipt, signed: boolean): string | undefined {
  if (!signed) return "not signed by its provider";
  if (receipt.taskId !== task.id) return "of another task";
  if (receipt.inputSha256 !== task.inputSha256) return "of another input";
  if (receipt.outputSha256 !== task.outputSha256) return "of another output";
  return undefined;
}

/** Saves from memory, so that the file is what was verified. */
function Save({ json, name }: { readonly json: string; readonly name: string }): JSX.Element {
  const url = useSignal("");
  useEffect(() => {
    const made = url.value = URL.createObjectURL(new Blob([`${json}\n`], { type: "application/json" }));
    return () => URL.revokeObjectURL(made);
  }, [json]);
  return <a class="button small" href={url.value} download={name}>Download</a>;
}
