import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { call } from "../api.ts";
import { bytes } from "../format.ts";
import { useResource } from "../resource.ts";
import { Icon } from "./icons.tsx";
import { Loaded } from "./states.tsx";

export interface ContentProps {
  readonly path: string;
  readonly type: string;
  readonly sizeBytes: number;
  /** What a download is called. */
  readonly name: string;
  /** Where the content lies by its file's name, so that what it names beside itself is found; undefined for what is no file. */
  readonly place?: string;
}

/** More than this is offered as a download instead of being shown as text. */
const MAX_TEXT_BYTES = 1 << 20; // 1 MiB

/** Bytes by their media type: text, a picture, sound, moving pictures, or a download. What plays is streamed from the node. */
export function Content({ path, type, sizeBytes, name, place }: ContentProps): JSX.Element {
  const kind = type.split(";", 1)[0]!.trim().toLowerCase();
  return (
    <div class="content">
      {place !== undefined && PLAYLISTS.has(kind)
        ? <Playlist url={place} />
        : <Shown path={path} kind={kind} sizeBytes={sizeBytes} />}
      <div class="content-foot">
        <span class="small quiet">{kind === "" ? "bytes" : kind}, {bytes(sizeBytes)}</span>
        <a class="small" href={path} download={name}>
          <Icon name="download" />Download
        </a>
      </div>
    </div>
  );
}

function Shown(
  { path, kind, sizeBytes }: { readonly path: string; readonly kind: string; readonly sizeBytes: number },
) {
  if (kind.startsWith("image/")) return <Picture path={path} />;
  if (kind.startsWith("video/")) return <video src={path} controls playsInline preload="metadata" />;
  if (kind.startsWith("audio/")) return <audio src={path} controls preload="metadata" />;
  if (sizeBytes > MAX_TEXT_BYTES) return <p class="quiet">It is too long to show here.</p>;
  return <Textual path={path} json={kind === "application/json" || kind.endsWith("+json")} />;
}

/** The media types of HLS playlists (RFC 8216, section 4). */
const PLAYLISTS: ReadonlySet<string> = new Set(["application/vnd.apple.mpegurl", "audio/mpegurl"]);

/** The player of playlists, which is large: only who opens one loads it. */
const PLAYER_URL = "/ui/hls.js";

/** A film that lies in pieces which its playlist names. */
function Playlist({ url }: { readonly url: string }): JSX.Element {
  const video = useRef<HTMLVideoElement>(null);
  const failure = useSignal("");
  useEffect(() => {
    let end = () => {};
    let gone = false;
    const fail = (why: string) => failure.value = `The film does not play: ${why}`;
    (import(PLAYER_URL) as Promise<typeof import("../hls.ts")>).then(
      ({ playHls }) => {
        if (!gone) end = playHls(video.current!, url, fail);
      },
      () => fail("its player was not loaded"),
    );
    return () => {
      gone = true;
      end();
    };
  }, [url]);
  return (
    <>
      <video ref={video} controls playsInline />
      {failure.value !== "" && <p role="alert">{failure.value}</p>}
    </>
  );
}

/** A picture from its bytes: a `blob:` cannot be more than a picture, whatever the node says of its type. */
function Picture({ path }: { readonly path: string }): JSX.Element {
  const blob = useResource(async (signal) => (await call("GET", path, { signal })).blob(), [path]);
  const url = useSignal("");
  useEffect(() => {
    if (blob.value === undefined) return;
    const made = url.value = URL.createObjectURL(blob.value);
    return () => URL.revokeObjectURL(made);
  }, [blob.value]);
  return (
    <Loaded of={blob}>{() => url.value === "" ? null : <img src={url.value} alt="The content as a picture" />}</Loaded>
  );
}

function Textual({ path, json }: { readonly path: string; readonly json: boolean }): JSX.Element {
  const bytesOf = useResource(
    async (signal) => new Uint8Array(await (await call("GET", path, { signal })).arrayBuffer()),
    [path],
  );
  return (
    <Loaded of={bytesOf} rows={2}>
      {(value) => {
        const text = textOf(value);
        if (text === undefined) return <pre class="output" tabIndex={0}>{hexOf(value)}</pre>;
        return <pre class="output" tabIndex={0}>{json ? pretty(text) : text === "" ? " " : text}</pre>;
      }}
    </Loaded>
  );
}

function textOf(value: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(value);
  } catch {
    return undefined;
  }
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const HEX_ROWS = 32;

/** The first bytes as a hex dump. */
function hexOf(value: Uint8Array): string {
  const rows: string[] = [];
  for (let start = 0; start < value.length && rows.length < HEX_ROWS; start += 16) {
    const row = [...value.subarray(start, start + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(47);
    const text = row.map((byte) => byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·").join("");
    rows.push(`${start.toString(16).padStart(6, "0")}  ${hex}  ${text}`);
  }
  if (value.length > HEX_ROWS * 16) rows.push("…");
  return rows.join("\n");
}
