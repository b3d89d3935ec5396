/** The rows of a conversation: messages and failures stand alone, what the agent did between them is one fold. */
import type { Row } from "@/log/rows";

export type Group = { id: string; rows: Row[]; isFold: boolean };

const ALONE = new Set([
  "turn.failed",
  "task.failed",
  "task.cancelled",
  "task.expired",
  "task.finished",
  "file.shared",
]);
const HIDDEN = new Set([
  "task.created",
  "task.claimed",
  "task.awaiting_input",
  "turn.completed",
  "task.requeued",
]);

export function groupsOf(rows: Iterable<Row>): Group[] {
  const groups: Group[] = [];
  for (const row of rows) {
    if (isHidden(row, groups)) continue;
    if (standsAlone(row)) {
      groups.push({ id: row.id, rows: [row], isFold: false });
      continue;
    }
    const last = groups.at(-1);
    if (last?.isFold) last.rows.push(row);
    else groups.push({ id: `g${row.sequence}`, rows: [row], isFold: true });
  }
  return groups;
}

function standsAlone(row: Row): boolean {
  return row.kind === "message" || (row.kind !== "tool" && ALONE.has(row.event.type));
}

/** A reply is in the log twice: as the agent's message, and as the conversation's. */
function isHidden(row: Row, groups: Group[]): boolean {
  if (row.kind !== "message") return row.kind !== "tool" && HIDDEN.has(row.event.type);
  if (row.role !== "assistant" || row.messageId === null || row.files.length > 0) return false;
  const last = groups.findLast((group) => !group.isFold)?.rows[0];
  return last?.kind === "message" && last.role === "assistant" && last.content.trim() === row.content.trim();
}

/** How many calls a fold has, and how long they took together. */
export function work(rows: Row[]): { tools: number; ms: number; isRunning: boolean; hasError: boolean } {
  let tools = 0;
  let ms = 0;
  let isRunning = false;
  let hasError = false;
  for (const row of rows) {
    hasError ||= row.isError;
    if (row.kind !== "tool") continue;
    tools += 1;
    ms += row.durationMs ?? 0;
    isRunning ||= row.isRunning;
  }
  return { tools, ms, isRunning, hasError };
}
