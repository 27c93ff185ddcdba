import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { messageOf } from "../api.ts";
import { bytes } from "../format.ts";
import { Icon } from "../parts/icons.tsx";
import { Text } from "../parts/states.tsx";
import { forget, remembered } from "../upload-memory.ts";
import type { RememberedUpload } from "../upload-memory.ts";
import { clearEnded, retryUpload, stopUpload, upload, uploads } from "../uploads.ts";
import type { Upload } from "../uploads.ts";

/** Uploads of this tab as they go, and those that an earlier one did not finish. */
export function Uploads(): JSX.Element | null {
  const list = uploads.value;
  const running = new Set(list.map(({ name }) => name));
  const left = remembered.value.filter(({ name }) => !running.has(name));
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
        {left.map((one) => <InterruptedRow key={one.name} {...one} />)}
      </ul>
    </section>
  );
}

function UploadRow({ upload: one }: { readonly upload: Upload }): JSX.Element {
  const { name, file, state, sent, error, resumes } = one;
  const words = {
    waiting: "waits",
    sending: `${bytes(sent)} of ${bytes(file.size)}${resumes ? ", goes on where it was" : ""}`,
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

/** A browser may not keep files over a closed tab, so it asks for the file again; what the node has is not sent twice in vain. */
function InterruptedRow({ name, size }: RememberedUpload): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  return (
    <li class="upload interrupted">
      <div class="grow">
        <Text of={name} />
        <span class="small quiet">{bytes(size)}, was interrupted; choose the same file to go on</span>
      </div>
      <button type="button" class="button small" onClick={() => input.current?.click()}>Choose it again</button>
      <button type="button" class="plain" aria-label={`Forget ${name}`} onClick={() => forget({ name })}>
        <Icon name="close" />
      </button>
      <input
        ref={input}
        type="file"
        hidden
        aria-label={`The file ${name}`}
        onChange={(event) => {
          const files = [...event.currentTarget.files ?? []];
          upload(files, name.slice(0, name.length - (files[0]?.name.length ?? 0)));
        }}
      />
    </li>
  );
}
