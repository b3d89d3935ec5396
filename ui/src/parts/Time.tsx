/** Points in time and durations. Only what runs ticks each second; the rest is brought up to date twice a minute. */
import { useEffect, useState, useSyncExternalStore } from "react";
import { usePrefs } from "@/prefs";
import { Tip } from "@/widgets/Tip";
import { duration, localTime, relative } from "./format";

const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of listeners) each();
  }, 30_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

export function Time(props: { at: string; className?: string }) {
  const { exactTimes } = usePrefs();
  const current = useSyncExternalStore(subscribe, () => now);
  const at = Date.parse(props.at);
  const shown = exactTimes ? localTime(at) : relative(at, Math.max(current, Date.now() - 30_000));
  return (
    <Tip text={`${localTime(at)} · ${props.at}`}>
      <time dateTime={props.at} className={`whitespace-nowrap tabular-nums ${props.className ?? ""}`}>
        {shown}
      </time>
    </Tip>
  );
}

/** How long something has taken; it ticks while `to` is missing. */
export function Elapsed(props: { from: string; to: string | null }) {
  const [current, setCurrent] = useState(() => Date.now());
  const isRunning = props.to === null;
  useEffect(() => {
    if (!isRunning) return;
    const ticker = setInterval(() => setCurrent(Date.now()), 1000);
    return () => clearInterval(ticker);
  }, [isRunning]);
  const end = props.to === null ? current : Date.parse(props.to);
  const ms = end - Date.parse(props.from);
  return (
    <span className="whitespace-nowrap tabular-nums">
      {duration(isRunning ? Math.floor(ms / 1000) * 1000 : ms)}
    </span>
  );
}
