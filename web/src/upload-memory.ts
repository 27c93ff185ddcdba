import { signal } from "@preact/signals";

/** What is kept of an upload while it runs, so that it can go on after the tab was closed. */
export interface RememberedUpload {
  readonly name: string;
  readonly size: number;
  readonly modifiedAt: number;
}

interface Named {
  readonly name: string;
  readonly file: File;
}

const KEY = "velas-sphere.uploads";
const MAX = 200;

function stored(): readonly RememberedUpload[] {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(value) ? value as RememberedUpload[] : [];
  } catch {
    return [];
  }
}

/** Uploads that began in this browser and did not end, those of this tab included. */
export const remembered = signal<readonly RememberedUpload[]>(stored());

function keep(list: readonly RememberedUpload[]): void {
  remembered.value = list.slice(-MAX);
  try {
    localStorage.setItem(KEY, JSON.stringify(remembered.value));
  } catch {
    // Without storage an upload can be resumed only while the page lasts.
  }
}

const isSame = ({ name, file }: Named) => (one: RememberedUpload) =>
  one.name === name && one.size === file.size && one.modifiedAt === file.lastModified;

export function remember(upload: Named): void {
  const entry = { name: upload.name, size: upload.file.size, modifiedAt: upload.file.lastModified };
  keep([...stored().filter((one) => one.name !== upload.name), entry]);
}

export function forget({ name }: { readonly name: string }): void {
  keep(stored().filter((one) => one.name !== name));
}

/** Whether an attempt at the very same file was interrupted. */
export function wasInterrupted(upload: Named): boolean {
  return stored().some(isSame(upload));
}
