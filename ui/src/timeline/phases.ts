/** What a run spent its time on, phase by phase, from the platform's events. */
import type { TaskEvent } from "@/api/types";

export type PhaseKind = "queued" | "starting" | "running" | "asleep" | "waiting";
export type Phase = { kind: PhaseKind; from: number; to: number; attempt: number | null };

const NEXT: Partial<Record<TaskEvent["type"], PhaseKind | "ended">> = {
  "task.created": "queued",
  "task.claimed": "starting",
  "task.started": "running",
  "turn.started": "running",
  "task.requeued": "queued",
  "task.hibernated": "asleep",
  "task.woken": "queued",
  "task.awaiting_input": "waiting",
  "task.finished": "ended",
  "task.failed": "ended",
  "task.cancelled": "ended",
  "task.expired": "ended",
};

/** The phases of these events, of which the last is still running if the task has not ended. */
export function phasesOf(events: Iterable<TaskEvent>, now: number): Phase[] {
  const phases: Phase[] = [];
  let current: Phase | null = null;
  let attempt: number | null = null;
  for (const event of events) {
    const kind = NEXT[event.type];
    if (kind === undefined) continue;
    const at = Date.parse(event.createdAt);
    if (event.type === "task.claimed" || event.type === "task.started") attempt = event.data.attempt;
    if (current !== null && current.kind === kind) continue;
    if (current !== null) phases.push({ ...current, to: at });
    current =
      kind === "ended" ? null : { kind, from: at, to: at, attempt: kind === "queued" ? null : attempt };
  }
  if (current !== null) phases.push({ ...current, to: Math.max(now, current.from) });
  return phases.filter((phase) => phase.to > phase.from);
}
