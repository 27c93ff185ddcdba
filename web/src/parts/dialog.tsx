import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Icon } from "./icons.tsx";

export interface DialogProps {
  readonly title: ComponentChildren;
  /** A panel at the side instead of a box in the middle. */
  readonly side?: boolean;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

/** A modal dialog: the browser keeps the focus inside, Escape and a click beside it close it, and the focus goes back. */
export function Dialog({ title, side = false, onClose, children }: DialogProps): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const opener = document.activeElement as HTMLElement | null;
    element.current?.showModal();
    return () => opener?.focus?.();
  }, []);
  return (
    <dialog
      ref={element}
      aria-labelledby={titleId}
      class={side ? "dialog side" : "dialog"}
      onClose={onClose}
      onClick={(event) => event.target === element.current && onClose()}
    >
      <div class="dialog-body">
        <header>
          <h2 id={titleId}>{title}</h2>
          <button type="button" class="plain" aria-label="Close" onClick={onClose}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

export interface ConfirmProps {
  readonly title: ComponentChildren;
  readonly children: ComponentChildren;
  readonly action: string;
  /** The word for leaving things as they are. */
  readonly keep?: string;
  /** `danger` for what cannot be taken back. */
  readonly tone?: "danger" | "primary";
  readonly onConfirm: () => void;
  readonly onClose: () => void;
}

/** Asks before something that cannot be taken back. */
export function Confirm(props: ConfirmProps): JSX.Element {
  const { title, children, action, keep = "Keep it", tone = "danger", onConfirm, onClose } = props;
  return (
    <Dialog title={title} onClose={onClose}>
      <div>{children}</div>
      <div class="buttons end">
        <button type="button" class="button" onClick={onClose}>{keep}</button>
        <button
          type="button"
          class={`button ${tone}`}
          onClick={() => {
            onClose();
            onConfirm();
          }}
        >
          {action}
        </button>
      </div>
    </Dialog>
  );
}
