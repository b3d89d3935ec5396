/** The head of a screen, and a table that becomes cards on narrow screens. */
import type { ReactNode } from "react";
import { useEffect } from "react";
import { words } from "@/words";

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · ${words.product}`;
  }, [title]);
}

export function Page(props: { title: string; actions?: ReactNode; children: ReactNode; isWide?: boolean }) {
  useTitle(props.title);
  return (
    <div className={`mx-auto w-full px-4 py-4 sm:px-6 ${props.isWide ? "" : "max-w-6xl"}`}>
      <header className="mb-4 flex flex-wrap items-center justify-between gap-2">
        <h1 className="text-xl font-semibold">{props.title}</h1>
        <div className="flex flex-wrap items-center gap-2">{props.actions}</div>
      </header>
      {props.children}
    </div>
  );
}

export function Panel(props: {
  title?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  className?: string;
}) {
  return (
    <section className={`rounded-lg border border-line bg-panel ${props.className ?? ""}`}>
      {props.title && (
        <header className="flex items-center justify-between gap-2 border-b border-line px-4 py-2">
          <h2 className="font-semibold">{props.title}</h2>
          {props.actions}
        </header>
      )}
      {props.children}
    </section>
  );
}

/** Names and values, as a definition list. */
export function Facts(props: { of: [ReactNode, ReactNode][] }) {
  return (
    <dl className="grid grid-cols-[minmax(7rem,auto)_1fr] gap-x-4 gap-y-1.5">
      {props.of.map(([name, value], index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the facts of one object keep their places
        <div key={index} className="contents">
          <dt className="text-soft">{name}</dt>
          <dd className="min-w-0">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export type Column<T> = {
  title: string;
  cell: (row: T) => ReactNode;
  isRight?: boolean;
  /** Left out of the card on narrow screens. */
  isWideOnly?: boolean;
};

export function Table<T>(props: { label: string; columns: Column<T>[]; rows: T[]; id: (row: T) => string }) {
  return (
    <div className="relative overflow-x-auto rounded-lg border border-line bg-panel">
      <table className="w-full text-left max-sm:block">
        <caption className="sr-only">{props.label}</caption>
        <thead className="max-sm:sr-only">
          <tr className="border-b border-line text-[13px] text-soft">
            {props.columns.map((column) => (
              <th
                key={column.title}
                scope="col"
                className={`px-3 py-2 font-medium ${column.isRight ? "text-right" : ""}`}
              >
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="max-sm:block">
          {props.rows.map((row) => (
            <tr
              key={props.id(row)}
              className="relative border-b border-line last:border-0 hover:bg-sunk max-sm:flex max-sm:flex-wrap max-sm:gap-x-3 max-sm:px-3 max-sm:py-2"
            >
              {props.columns.map((column) => (
                <td
                  key={column.title}
                  className={`px-3 py-2 align-top max-sm:px-0 max-sm:py-0.5 ${column.isRight ? "text-right max-sm:text-left" : ""} ${column.isWideOnly ? "max-sm:hidden" : ""}`}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
