import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { getJson, query } from "./api.ts";
import type { FilePage, FileRecord } from "./api-types.ts";
import { epoch } from "./live.ts";
import { uploaded } from "./uploads.ts";

const PAGE_SIZE = 500;
/** A burst of events makes one new list. */
const SETTLE_MS = 400;

export interface FileList {
  readonly files: readonly FileRecord[];
  readonly folders: readonly string[];
  readonly loaded: boolean;
  readonly more: boolean;
  readonly error: unknown;
  loadMore(): void;
  reload(): void;
}

interface State {
  readonly pages: readonly FilePage[];
  readonly error: unknown;
}

/** The files and folders right below a prefix, page by page, kept up with what happens to them. */
export function useFileList(prefix: string): FileList {
  const state = useSignal<State>({ pages: [], error: undefined });
  const turn = useSignal(0);
  const fetching = useSignal(false);
  const page = (pageToken: string, abort?: AbortSignal) =>
    getJson<FilePage>(`v1/files${query({ prefix, delimiter: "/", pageSize: PAGE_SIZE, pageToken })}`, abort);

  useEffect(() => {
    state.value = { pages: [], error: undefined };
  }, [prefix]);

  useEffect(() => {
    const controller = new AbortController();
    const wanted = Math.max(1, state.peek().pages.length);
    const load = async () => {
      fetching.value = true;
      const pages: FilePage[] = [];
      try {
        do pages.push(await page(pages.at(-1)?.nextPageToken ?? "", controller.signal)); while (
          pages.length < wanted && pages.at(-1)!.nextPageToken !== ""
        );
        state.value = { pages, error: undefined };
      } catch (error) {
        if (!controller.signal.aborted) state.value = { ...state.peek(), error };
      }
      fetching.value = false;
    };
    void load();
    return () => controller.abort();
  }, [prefix, turn.value, epoch.value, uploaded.value]);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const source = new EventSource("v1/file-events");
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(() => turn.value++, SETTLE_MS);
    };
    for (const type of ["state", "repair", "audit", "removed"]) source.addEventListener(type, later);
    return () => {
      clearTimeout(timer);
      source.close();
    };
  }, [epoch.value]);

  const { pages, error } = state.value;
  const last = pages.at(-1);
  return {
    files: pages.flatMap(({ files }) => files),
    folders: [...new Set(pages.flatMap(({ folders }) => folders))],
    loaded: last !== undefined,
    more: last !== undefined && last.nextPageToken !== "",
    error,
    reload: () => turn.value++,
    async loadMore() {
      if (fetching.peek() || last === undefined || last.nextPageToken === "") return;
      fetching.value = true;
      try {
        const next = await page(last.nextPageToken);
        const now = state.peek();
        if (now.pages.at(-1) === last) state.value = { pages: [...now.pages, next], error: undefined };
      } catch (failure) {
        state.value = { ...state.peek(), error: failure };
      }
      fetching.value = false;
    },
  };
}
