import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { call, getJson } from "../api.ts";
import type { FileRecord } from "../api-types.ts";
import { Copy } from "../parts/copy.tsx";
import { Failure } from "../parts/states.tsx";
import { toast } from "../parts/toasts.tsx";
import { useResource } from "../resource.ts";

/** Makes a manifest that only one other node can open, and saves it, to be sent over any channel. */
export function ShareForm({ file }: { readonly file: FileRecord }): JSX.Element {
  const error = useSignal<unknown>(undefined);
  const own = useResource<{ shareKey: string }>((abort) => getJson("v1/share-key", abort), []);
  const share = async (event: Event) => {
    event.preventDefault();
    const recipient = String(new FormData(event.target as HTMLFormElement).get("recipient")).trim();
    error.value = undefined;
    try {
      const response = await call("POST", `v1/files/${file.id}/share`, { json: { recipient } });
      save(await response.blob(), `${file.name.split("/").at(-1)}.velas-share`);
      toast("good", "Saved the share; send it to the other node's owner, who imports it");
    } catch (failure) {
      error.value = failure;
    }
  };
  // A node that cannot share says so before anybody looks for a key.
  if (own.error !== undefined) return <Failure error={own.error} />;
  return (
    <form class="panel share" onSubmit={share}>
      <label>
        <span>Share key of the node that may read it</span>
        <input
          name="recipient"
          required
          pattern="\s*[0-9a-fA-F]{64}\s*"
          title="64 hex digits"
          placeholder="64 hex digits"
          spellcheck={false}
          autocomplete="off"
        />
      </label>
      {error.value !== undefined && <Failure error={error.value} />}
      <div class="buttons">
        <button type="submit" class="button primary">Save the share</button>
        {own.value !== undefined && (
          <span class="small quiet">
            This node's own key: <Copy text={own.value.shareKey} short />
          </span>
        )}
      </div>
    </form>
  );
}

function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
