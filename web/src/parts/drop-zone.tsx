import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useRef } from "preact/hooks";

export interface DropZoneProps {
  /** Says what happens to what is dropped, while something hovers. */
  readonly label: string;
  readonly accept?: string;
  readonly multiple?: boolean;
  readonly onFiles: (files: readonly File[]) => void;
  /** Gets what opens the file dialog, for those who do not drag. */
  readonly children: (pick: () => void) => ComponentChildren;
}

/** A place to drop files on, or to pick them from. */
export function DropZone({ label, accept, multiple = false, onFiles, children }: DropZoneProps): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  const hovers = useSignal(false);
  const take = (files: FileList | null | undefined) => {
    if (files !== null && files !== undefined && files.length > 0) onFiles([...files]);
  };
  const holdsFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  return (
    <div
      class={`drop ${hovers.value ? "hovers" : ""}`}
      data-label={label}
      onDragOver={(event) => {
        if (!holdsFiles(event)) return;
        event.preventDefault();
        hovers.value = true;
      }}
      onDragLeave={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget as Node | null)) hovers.value = false;
      }}
      onDrop={(event) => {
        hovers.value = false;
        if (!holdsFiles(event)) return;
        event.preventDefault();
        take(event.dataTransfer?.files);
      }}
    >
      {children(() => input.current?.click())}
      <input
        ref={input}
        type="file"
        hidden
        aria-label={label}
        multiple={multiple}
        {...(accept === undefined ? {} : { accept })}
        onChange={(event) => {
          take(event.currentTarget.files);
          event.currentTarget.value = "";
        }}
      />
    </div>
  );
}
