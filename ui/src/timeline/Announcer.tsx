import { useEffect, useState, useSyncExternalStore } from "react";
import type { LogStore } from "@/log/store";
import { words } from "./words";

const EVERY_MS = 5000;

/** Says to screen readers what the agent does, at most each five seconds. */
export function Announcer(props: { store: LogStore }) {
  const tool = useSyncExternalStore(props.store.subscribe, () => props.store.running?.tool ?? null);
  const [said, setSaid] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setSaid(tool === null ? words.done : words.running(tool)), EVERY_MS);
    return () => clearTimeout(timer);
  }, [tool]);
  return (
    <p role="status" aria-live="polite" className="sr-only">
      {said}
    </p>
  );
}
