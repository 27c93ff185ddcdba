import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { ApiError, call, messageOf } from "../api.ts";
import type { FileRecord } from "../api-types.ts";
import { useFileList } from "../file-list.ts";
import type { FileList } from "../file-list.ts";
import { bytes, count, counted, fullTime, time } from "../format.ts";
import { DropZone } from "../parts/drop-zone.tsx";
import { FileBadge } from "../parts/file-badge.tsx";
import { Icon } from "../parts/icons.tsx";
import { Empty, Failure, Loading, Text } from "../parts/states.tsx";
import { Head } from "../parts/table.tsx";
import { toast } from "../parts/toasts.tsx";
import { useWindow } from "../parts/window-rows.ts";
import { go, href, route } from "../route.ts";
import { upload } from "../uploads.ts";
import { FileDetails } from "./file-details.tsx";
import { Uploads } from "./uploads.tsx";

const ROW_HEIGHT = 46; // pixels; pages.css has the same

/** The owner's files: folders by prefix, upload by dropping, and each file with what there is to know of it. */
export function Files(): JSX.Element {
  const { rest: prefix, query: parameters } = route.value;
  const list = useFileList(prefix);
  const id = parameters.get("file") ?? "";
  return (
    <>
      <DropZone
        label={`Drop files to store them in ${prefix || "the top folder"}`}
        multiple
        onFiles={(all) => upload(all, prefix)}
      >
        {(pick) => (
          <div class="drop-target">
            <Icon name="upload" />
            <div class="grow">
              <b>Store files</b>
              <p class="quiet small">
                Each is encrypted here, split, and spread over other nodes, so that it survives the loss of some of
                them.
              </p>
            </div>
            <ImportButton onDone={list.reload} />
            <button type="button" class="button primary" onClick={pick}>Choose files</button>
          </div>
        )}
      </DropZone>
      <Uploads />
      <section aria-label="Files">
        <header class="section-head">
          <Breadcrumbs prefix={prefix} />
          <span class="quiet small" role="status">
            {list.loaded &&
              (list.more ? `${count(list.files.length)} or more files` : counted(list.files.length, "file"))}
          </span>
        </header>
        <FileTable list={list} prefix={prefix} />
      </section>
      {id !== "" && <FileDetails key={id} id={id} onClose={() => go(href("files", prefix))} onChange={list.reload} />}
    </>
  );
}

function Breadcrumbs({ prefix }: { readonly prefix: string }): JSX.Element {
  const parts = prefix.split("/").filter((part) => part !== "");
  return (
    <nav class="crumbs" aria-label="Folder">
      <a href={href("files")}>All files</a>
      {parts.map((part, i) => (
        <span key={i}>
          {" / "}
          <a href={href("files", `${parts.slice(0, i + 1).join("/")}/`)}>
            <Text of={part} />
          </a>
        </span>
      ))}
    </nav>
  );
}

function FileTable({ list, prefix }: { readonly list: FileList; readonly prefix: string }): JSX.Element {
  const body = useRef<HTMLTableSectionElement>(null);
  const { files, folders } = list;
  const rows = [...folders, ...files];
  const shown = useWindow(body, { rows: rows.length, rowHeight: ROW_HEIGHT });
  useEffect(() => {
    if (list.more && shown.end >= rows.length) list.loadMore();
  });
  if (rows.length === 0) {
    if (list.error !== undefined) return <Failure error={list.error} retry={list.reload} />;
    if (!list.loaded) return <Loading rows={6} />;
    return (
      <Empty icon="files" title={prefix === "" ? "No files yet" : "Nothing in this folder"} level={2}>
        <p>
          Drop some above, or use the folder's link from a program:{" "}
          <code>curl -T cat.jpg …/v1/files/{prefix}cat.jpg</code>
        </p>
      </Empty>
    );
  }
  return (
    <>
      {list.error !== undefined && <Failure error={list.error} retry={list.reload} />}
      <div class="table-wrap">
        <table class="files" aria-rowcount={rows.length + 1}>
          <Head columns={["Name", "State", ["Shards", "wide num"], ["Size", "num"], ["Stored", "wide num"]]} />
          <tbody ref={body}>
            {shown.start > 0 && (
              <tr class="spacer" style={{ height: `${shown.start * ROW_HEIGHT}px` }} aria-hidden="true" />
            )}
            {rows.slice(shown.start, shown.end).map((row, i) => {
              const index = shown.start + i + 2;
              return typeof row === "string"
                ? <FolderRow key={row} folder={row} prefix={prefix} index={index} />
                : <FileRow key={row.id} file={row} prefix={prefix} index={index} />;
            })}
            {shown.end < rows.length && (
              <tr class="spacer" style={{ height: `${(rows.length - shown.end) * ROW_HEIGHT}px` }} aria-hidden="true" />
            )}
          </tbody>
        </table>
      </div>
    </>
  );
}

interface RowProps {
  readonly prefix: string;
  /** From 1, the heading included. */
  readonly index: number;
}

function FolderRow({ folder, prefix, index }: RowProps & { readonly folder: string }): JSX.Element {
  return (
    <tr class="link-row" aria-rowindex={index}>
      <td class="name main">
        <Icon name="folder" />
        <a href={href("files", folder)}>
          <Text of={folder.slice(prefix.length)} />
        </a>
      </td>
      <td />
      <td class="wide" />
      <td />
      <td class="wide" />
    </tr>
  );
}

function FileRow({ file, prefix, index }: RowProps & { readonly file: FileRecord }): JSX.Element {
  const { id, name, state, sizeBytes, createdAt, healthyShards, policy, warnings, version } = file;
  const all = policy.dataShards + policy.parityShards;
  return (
    <tr class="link-row" aria-rowindex={index}>
      <td class="name main">
        <Icon name="file" />
        <a href={href("files", prefix, { file: id })}>
          <Text of={name.slice(prefix.length)} />
        </a>
        {version > 1 && <span class="small quiet">version {version}</span>}
        {warnings.length > 0 && (
          <span class="warning" title={warnings.join("\n")}>
            <Icon name="warn" />
            <span class="visually-hidden">{warnings.join("; ")}</span>
          </span>
        )}
      </td>
      <td>
        <FileBadge state={state} />
      </td>
      <td class="wide num">{healthyShards} of {all}</td>
      <td class="num">{bytes(sizeBytes)}</td>
      <td class="wide num quiet" title={fullTime(createdAt)}>{time(createdAt)}</td>
    </tr>
  );
}

function ImportButton({ onDone }: { readonly onDone: () => void }): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  const busy = useSignal(false);
  const take = async (file: File | undefined) => {
    if (file === undefined) return;
    busy.value = true;
    try {
      const response = await call("POST", "v1/files/import", { body: file, type: "application/octet-stream" });
      toast("good", `Imported ${(await response.json() as FileRecord).name}`);
      onDone();
    } catch (error) {
      toast("bad", error instanceof ApiError ? messageOf(error) : `${file.name} cannot be read`);
    }
    busy.value = false;
  };
  return (
    <>
      <button type="button" class="button" disabled={busy.value} onClick={() => input.current?.click()}>
        Import a share
      </button>
      <input
        ref={input}
        type="file"
        hidden
        aria-label="A manifest that was shared to this node"
        onChange={(event) => {
          void take(event.currentTarget.files?.[0]);
          event.currentTarget.value = "";
        }}
      />
    </>
  );
}
