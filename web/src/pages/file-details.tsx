import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { call, getJson, messageOf, sendJson } from "../api.ts";
import type { FileHealth, FileRecord } from "../api-types.ts";
import { bytes, fullTime } from "../format.ts";
import { Content } from "../parts/content.tsx";
import { Copy } from "../parts/copy.tsx";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { FileBadge } from "../parts/file-badge.tsx";
import { Icon } from "../parts/icons.tsx";
import { Loaded, Text } from "../parts/states.tsx";
import { toast } from "../parts/toasts.tsx";
import { useResource } from "../resource.ts";
import { ShardMap } from "./shard-map.tsx";
import { ShareForm } from "./share-form.tsx";

export interface FileDetailsProps {
  readonly id: string;
  readonly onClose: () => void;
  /** The list is to be read again. */
  readonly onChange: () => void;
}

/** One version of a file: what is in it, where its shards are and how they are, and what can be done with it. */
export function FileDetails({ id, onClose, onChange }: FileDetailsProps): JSX.Element {
  const health = useResource<FileHealth>((abort) => getJson(`v1/files/${id}/health`, abort), [id]);
  const file = health.value?.file;
  return (
    <Dialog title={file === undefined ? "File" : <Text of={file.name} />} side onClose={onClose}>
      <Loaded of={health} rows={6}>
        {(value) => <Details health={value} onClose={onClose} onChange={onChange} reload={health.reload} />}
      </Loaded>
    </Dialog>
  );
}

interface DetailsProps extends Omit<FileDetailsProps, "id"> {
  readonly health: FileHealth;
  readonly reload: () => void;
}

function Details({ health, onClose, onChange, reload }: DetailsProps): JSX.Element {
  const busy = useSignal("");
  const open = useSignal<"" | "remove" | "share" | "rename">("");
  const { file } = health;
  const path = `v1/files/${file.id}`;

  async function act(what: string, action: () => Promise<unknown>, done: string): Promise<boolean> {
    busy.value = what;
    try {
      await action();
      toast("good", done);
      onChange();
      return true;
    } catch (error) {
      toast("bad", messageOf(error));
      return false;
    } finally {
      busy.value = "";
    }
  }
  const care = async (what: "audit" | "repair", done: string) => {
    await act(what, () => call("POST", `${path}/${what}`), done);
    reload();
  };
  const remove = async () => {
    if (await act("remove", () => call("DELETE", path), `Removed ${file.name}`)) onClose();
  };
  const rename = async (event: Event) => {
    event.preventDefault();
    const name = String(new FormData(event.target as HTMLFormElement).get("name"));
    if (await act("rename", () => sendJson("PATCH", path, { name }), `Renamed to ${name}`)) {
      open.value = "";
      reload();
    }
  };

  return (
    <>
      {file.state !== "uploading" && file.state !== "lost" && (
        <Content
          path={`${path}/content`}
          type={file.contentType}
          sizeBytes={file.sizeBytes}
          name={file.name.split("/").at(-1)!}
          place={`/v1/files/${file.name.split("/").map(encodeURIComponent).join("/")}`}
        />
      )}
      <div class="buttons">
        <button type="button" class="button small" onClick={() => open.value = open.value === "share" ? "" : "share"}>
          <Icon name="share" />Share
        </button>
        <button type="button" class="button small" onClick={() => open.value = open.value === "rename" ? "" : "rename"}>
          Rename
        </button>
        <button
          type="button"
          class="button small"
          disabled={busy.value !== ""}
          onClick={() => care("audit", "Audited every shard")}
        >
          {busy.value === "audit" ? "Auditing …" : "Audit now"}
        </button>
        <button
          type="button"
          class="button small"
          disabled={busy.value !== ""}
          onClick={() => care("repair", "Repaired what was lost")}
        >
          {busy.value === "repair" ? "Repairing …" : "Repair now"}
        </button>
        <button type="button" class="plain danger" aria-label="Remove" onClick={() => open.value = "remove"}>
          <Icon name="trash" />
        </button>
      </div>
      {open.value === "share" && <ShareForm file={file} />}
      {open.value === "rename" && (
        <form class="inline-form" onSubmit={rename}>
          <label class="grow">
            <span>New name, of all versions</span>
            <input name="name" required value={file.name} spellcheck={false} />
          </label>
          <button type="submit" class="button">Rename</button>
        </form>
      )}
      {file.warnings.map((warning) => (
        <p key={warning} class="banner warning">
          <span class="dot" aria-hidden="true" />
          <Text of={warning} />
        </p>
      ))}
      <ShardMap health={health} />
      <Facts file={file} />
      {open.value === "remove" && (
        <Confirm
          title={
            <>
              Remove <Text of={file.name} />?
            </>
          }
          action="Remove"
          onConfirm={remove}
          onClose={() => open.value = ""}
        >
          <p>Version {file.version} is deleted at every provider. This cannot be taken back.</p>
        </Confirm>
      )}
    </>
  );
}

function Facts({ file }: { readonly file: FileRecord }): JSX.Element {
  const { policy } = file;
  return (
    <dl class="facts">
      <dt>State</dt>
      <dd>
        <FileBadge state={file.state} />
      </dd>
      <dt>Version</dt>
      <dd>{file.version}{!file.isLatest && ", an older one"}</dd>
      <dt>Size</dt>
      <dd>{bytes(file.sizeBytes)}</dd>
      <dt>Spread</dt>
      <dd>any {policy.dataShards} of {policy.dataShards + policy.parityShards} shards give it back</dd>
      <dt>Stored</dt>
      <dd>{fullTime(file.createdAt)}</dd>
      {file.sharedBy !== undefined && (
        <>
          <dt>Shared by</dt>
          <dd>
            <Copy text={file.sharedBy} short />
          </dd>
        </>
      )}
      <dt>Id</dt>
      <dd>
        <Copy text={file.id} />
      </dd>
      {file.sha256 !== "" && (
        <>
          <dt>SHA-256</dt>
          <dd>
            <Copy text={file.sha256} short />
          </dd>
        </>
      )}
    </dl>
  );
}
