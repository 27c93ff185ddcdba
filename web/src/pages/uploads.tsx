import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { messageOf } from "../api.ts";
import { features } from "../features.ts";
import { bytes } from "../format.ts";
import { giveUp, interrupted, lookForInterrupted, sourceOf } from "../interrupted.ts";
import type { HeldUpload } from "../interrupted.ts";
import { epoch } from "../live.ts";
import { Icon } from "../parts/icons.tsx";
import { Text } from "../parts/states.tsx";
import { toast } from "../parts/toasts.tsx";
import { clearEnded, retryUpload, stopUpload, uploadAs, uploads } from "../uploads.ts";
import type { Upload } from "../uploads.ts";

/** Uploads of this tab as they go, and those that an earlier one did not finish. */
export function Uploads(): JSX.Element | null {
  const list = uploads.value;
  const running = new Set(list.map(({ id, name }) => id ?? name));
  const left = interrupted.value.filter(({ id, name }) => !running.has(id) && !running.has(name));
  useEffect(() => void lookForInterrupted().catch(() => {}), [epoch.value, features.value]);
  if (list.length === 0 && left.length === 0) return null;
  return (
    <section class="panel uploads" aria-labelledby="uploads">
      <header class="section-head">
        <h2 id="uploads">Uploads</h2>
        {list.some(({ state }) => state === "done") && (
          <button type="button" class="link" onClick={clearEnded}>Clear</button>
        )}
      </header>
      <ul>
        {list.map((one) => <UploadRow key={one.key} upload={one} />)}
        {left.map((one) => <InterruptedRow key={one.id} held={one} />)}
      </ul>
    </section>
  );
}

function UploadRow({ upload: one }: { readonly upload: Upload }): JSX.Element {
  const { name, file, state, sent, error, resumedAt } = one;
  const words = {
    waiting: "waits",
    sending: `${bytes(sent)} of ${bytes(file.size)}${resumedAt > 0 ? `, went on at ${bytes(resumedAt)}` : ""}`,
    storing: "spreading the last shards",
    done: `${bytes(file.size)}, stored`,
    failed: messageOf(error),
    stopped: "stopped",
  }[state];
  const share = file.size === 0 ? 1 : sent / file.size;
  const goesOn = state === "sending" || state === "storing" || state === "waiting";
  return (
    <li class={`upload ${state}`}>
      <div class="grow">
        <Text of={name} />
        <span class="small quiet" role="status">
          <Text of={words} />
        </span>
        {goesOn && <progress value={state === "waiting" ? 0 : share} max={1} aria-label={`Progress of ${name}`} />}
      </div>
      {goesOn && <button type="button" class="button small" onClick={() => stopUpload(one)}>Stop</button>}
      {(state === "failed" || state === "stopped") && (
        <button
          type="button"
          class="button small"
          onClick={() => retryUpload(one)}
        >
          Go on
        </button>
      )}
      {state === "done" && (
        <span class="done">
          <Icon name="check" />
        </span>
      )}
    </li>
  );
}

/** A browser may not keep files over a closed tab, so it asks for the file again; only what the node lacks is sent. */
function InterruptedRow({ held }: { readonly held: HeldUpload }): JSX.Element {
  const { name, offset, sizeBytes, source } = held;
  const input = useRef<HTMLInputElement>(null);
  const take = (file: File | undefined) => {
    if (file === undefined) return;
    if (sourceOf(file) !== source) toast("bad", `${file.name} is not the file that was interrupted; it begins anew`);
    uploadAs(file, name);
  };
  return (
    <li class="upload interrupted">
      <div class="grow">
        <Text of={name} />
        <span class="small quiet">
          {`${bytes(offset)}${
            sizeBytes === undefined ? "" : ` of ${bytes(sizeBytes)}`
          } are here; choose the same file to go on`}
        </span>
        {sizeBytes !== undefined && sizeBytes > 0 && (
          <progress value={offset / sizeBytes} max={1} aria-label={`Progress of ${name}`} />
        )}
      </div>
      <button type="button" class="button small" onClick={() => input.current?.click()}>Choose it again</button>
      <button
        type="button"
        class="plain"
        aria-label={`Forget ${name}`}
        onClick={() => void giveUp(held).catch((error: unknown) => toast("bad", messageOf(error)))}
      >
        <Icon name="close" />
      </button>
      <input
        ref={input}
        type="file"
        hidden
        aria-label={`The file ${name}`}
        onChange={(event) => {
          take(event.currentTarget.files?.[0]);
          event.currentTarget.value = "";
        }}
      />
    </li>
  );
}
