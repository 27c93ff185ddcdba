import type { ComponentChildren, JSX } from "preact";
import { ApiError, messageOf, UNREACHABLE } from "../api.ts";
import { plain } from "../format.ts";
import type { Resource } from "../resource.ts";
import { Icon } from "./icons.tsx";
import type { IconName } from "./icons.tsx";

/** A text that somebody else chose: it keeps its own writing direction, and hidden characters show. */
export function Text({ of }: { readonly of: string }): JSX.Element {
  return <bdi>{plain(of)}</bdi>;
}

export interface EmptyProps {
  readonly icon: IconName;
  readonly title: string;
  /** The level of its heading: 2 when it is all that a page has. */
  readonly level?: 2 | 3;
  readonly children?: ComponentChildren;
}

/** What stands where things would, when there are none. */
export function Empty({ icon, title, level = 3, children }: EmptyProps): JSX.Element {
  const Heading = `h${level}` as const;
  return (
    <div class="empty">
      <Icon name={icon} />
      <Heading>{title}</Heading>
      {children}
    </div>
  );
}

/** Grey shapes of what is about to come. */
export function Loading({ rows = 3 }: { readonly rows?: number }): JSX.Element {
  return (
    <div class="loading" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => <div key={i} class="bone" />)}
    </div>
  );
}

export interface FailureProps {
  readonly error: unknown;
  readonly retry?: () => void;
}

/** A failure in the node's words, with what names it in the log. */
export function Failure({ error, retry }: FailureProps): JSX.Element {
  const problem = error instanceof ApiError ? error.problem : undefined;
  return (
    <div class="failure" role="alert">
      <Icon name="warn" />
      <div>
        <strong>{problem?.title ?? "That did not work"}</strong>
        <p>
          <Text of={messageOf(error)} />
        </p>
        {problem !== undefined && problem.code !== UNREACHABLE && (
          <p class="quiet">
            <code>{problem.code}</code>
            {problem.requestId !== undefined && (
              <>
                {" "}· request <code>{problem.requestId}</code>
              </>
            )}
          </p>
        )}
      </div>
      {retry !== undefined && <button type="button" class="button" onClick={retry}>Try again</button>}
    </div>
  );
}

export interface LoadedProps<T> {
  readonly of: Resource<T>;
  readonly rows?: number;
  readonly children: (value: T) => ComponentChildren;
}

/** Shows a resource in whichever state it is. */
export function Loaded<T>({ of: { value, error, reload }, rows, children }: LoadedProps<T>): JSX.Element {
  return (
    <>
      {error !== undefined && <Failure error={error} retry={reload} />}
      {value !== undefined
        ? children(value)
        : error === undefined && <Loading {...(rows === undefined ? {} : { rows })} />}
    </>
  );
}
