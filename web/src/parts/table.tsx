import type { ComponentChildren, JSX } from "preact";

/** A column's name, with its class if it has one: `num` is set to the right, `wide` and `wider` are left out of narrow windows. */
export type Column = string | readonly [name: string, classes: string];

export function Head({ columns }: { readonly columns: readonly Column[] }): JSX.Element {
  return (
    <thead>
      <tr>
        {columns.map((column) => {
          const [name, classes] = typeof column === "string" ? [column] : column;
          return <th key={name} scope="col" {...(classes !== undefined && { class: classes })}>{name}</th>;
        })}
      </tr>
    </thead>
  );
}

export interface TableProps {
  readonly columns: readonly Column[];
  /** Its rows. */
  readonly children: ComponentChildren;
}

/** A table that scrolls by itself where the window is too narrow for it. */
export function Table({ columns, children }: TableProps): JSX.Element {
  return (
    <div class="table-wrap">
      <table>
        <Head columns={columns} />
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
