/** Single-key shortcuts. They are off inside inputs and dialogs, and where the user has switched them off. */
import { useEffect, useRef } from "react";
import { getPrefs } from "@/prefs";

type Handler = () => void;

const handlers = new Map<string, Handler[]>();
const PREFIX_MS = 1200;
let prefix: { key: string; at: number } | null = null;

/** Do something on a key, such as "c", or "g t" for two keys in a row, while the component is shown. */
export function useShortcut(key: string, handler: Handler): void {
  const latest = useRef(handler);
  latest.current = handler;
  useEffect(() => {
    const call = () => latest.current();
    handlers.set(key, [...(handlers.get(key) ?? []), call]);
    return () => {
      handlers.set(
        key,
        (handlers.get(key) ?? []).filter((each) => each !== call),
      );
    };
  }, [key]);
}

export function installShortcuts(): () => void {
  const listener = (event: KeyboardEvent) => {
    if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") return run("mod+k", event);
    if (event.metaKey || event.ctrlKey || event.altKey || !getPrefs().singleKeys || isTyping(event.target))
      return;
    if (document.querySelector('[role="dialog"],[role="alertdialog"],[role="menu"]')) return;
    const first = prefix && Date.now() - prefix.at < PREFIX_MS ? prefix.key : null;
    prefix = null;
    if (first !== null) return run(`${first} ${event.key}`, event);
    if (event.key === "g") {
      prefix = { key: "g", at: Date.now() };
      return;
    }
    run(event.key, event);
  };
  addEventListener("keydown", listener);
  return () => removeEventListener("keydown", listener);
}

function run(key: string, event: KeyboardEvent): void {
  const handler = handlers.get(key)?.at(-1);
  if (handler === undefined) return;
  event.preventDefault();
  handler();
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || target.matches("input, textarea, select, [role=combobox]"))
  );
}

/** Move the focus along the rows of a list: elements with `data-row`. */
export function focusRow(step: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
  const current = rows.findIndex(
    (row) => row === document.activeElement || row.contains(document.activeElement),
  );
  const next = rows[current === -1 ? (step === 1 ? 0 : rows.length - 1) : current + step];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}
