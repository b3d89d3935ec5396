/** The rows of a run, folded from its events. Pure: the same events give the same rows, in whatever pages they come. */
import type { TaskEvent } from "@/api/types";

export type RowKind = "message" | "tool" | "platform" | "separator";

type Common = {
  id: string;
  kind: RowKind;
  /** The event by which the row is found and linked. */
  sequence: number;
  at: string;
  turnNumber: number | null;
  isError: boolean;
  /** Strings were cut: the whole event is read when the row is expanded. */
  isShortened: boolean;
};

export type MessageRow = Common & {
  kind: "message";
  messageId: string | null;
  role: "user" | "assistant";
  content: string;
  status: "waiting" | "delivered" | null;
  files: { id: string; filename: string; contentType: string; sizeBytes: number }[];
};

export type ToolRow = Common & {
  kind: "tool";
  callId: string;
  tool: string;
  input: unknown;
  inputOmitted: string | null;
  output: string | null;
  durationMs: number | null;
  isRunning: boolean;
  startedSequence: number | null;
  completedSequence: number | null;
};

/** `asleepMs`: of a waking, how long the task had slept; null: not known. */
export type PlatformRow = Common & {
  kind: "platform" | "separator";
  event: TaskEvent;
  asleepMs: number | null;
};

export type Row = MessageRow | ToolRow | PlatformRow;

const KEPT_CHARACTERS = 4096; // of a string in memory; the rest is read when somebody expands the row
const SEPARATORS = new Set(["task.started", "turn.started", "task.hibernated", "task.woken"]);
const HIDDEN = new Set(["message.delivered", "task.titled"]);
const FAILURES = new Set([
  "budget.reached",
  "task.failed",
  "turn.failed",
  "finish.rejected",
  "egress.refused",
  "context.lost",
]);

/** The row that an event makes or changes. `existing` finds a row that the event completes. Null: it changes nothing. */
export function fold(event: TaskEvent, existing: RowIndex): Row | null {
  switch (event.type) {
    case "tool.started":
      return toolStarted(event, existing.tool(event.data.callId, event.sequence));
    case "tool.completed":
      return toolCompleted(event, existing.tool(event.data.callId, event.sequence));
    case "message.created":
      return message(
        event,
        event.data.role === "user" ? "user" : "assistant",
        event.data.content,
        event.data.id,
      );
    case "message.completed":
      return message(event, "assistant", event.data.content, null);
    case "message.delivered":
      return delivered(existing.message(event.data.messageId));
    default:
      return HIDDEN.has(event.type) ? null : platform(event, existing.asleepSince);
  }
}

/** How rows that later events complete are found. */
export type RowIndex = {
  tool: (callId: string, sequence: number) => ToolRow | null;
  message: (messageId: string) => MessageRow | null;
  asleepSince: string | null;
};

function common(event: TaskEvent): Omit<Common, "kind" | "isError"> {
  const turn = "turnNumber" in event.data ? event.data.turnNumber : null;
  return {
    id: `e${event.sequence}`,
    sequence: event.sequence,
    at: event.createdAt,
    turnNumber: turn ?? null,
    isShortened: event.isShortened === true,
  };
}

function toolStarted(event: Extract<TaskEvent, { type: "tool.started" }>, known: ToolRow | null): ToolRow {
  const [input, isCut] = shorten(event.data.input);
  const started: ToolRow = {
    ...common(event),
    kind: "tool",
    isError: false,
    callId: event.data.callId,
    tool: event.data.tool,
    input,
    inputOmitted: event.data.inputOmittedReason,
    output: null,
    durationMs: null,
    isRunning: true,
    startedSequence: event.sequence,
    completedSequence: null,
    isShortened: isCut || event.isShortened === true,
  };
  if (known === null || known.startedSequence !== null) return started;
  return {
    ...started,
    output: known.output,
    durationMs: known.durationMs,
    isError: known.isError,
    isRunning: false,
    completedSequence: known.completedSequence,
    isShortened: started.isShortened || known.isShortened,
  };
}

function toolCompleted(
  event: Extract<TaskEvent, { type: "tool.completed" }>,
  known: ToolRow | null,
): ToolRow {
  const isCut = event.data.output.length > KEPT_CHARACTERS;
  const base: ToolRow = known ?? {
    ...common(event),
    kind: "tool",
    isError: false,
    callId: event.data.callId,
    tool: event.data.tool,
    input: null,
    inputOmitted: null,
    output: null,
    durationMs: null,
    isRunning: false,
    startedSequence: null,
    completedSequence: event.sequence,
  };
  return {
    ...base,
    output: isCut ? event.data.output.slice(0, KEPT_CHARACTERS) : event.data.output,
    durationMs: event.data.durationMs,
    isError: event.data.isError,
    isRunning: false,
    completedSequence: event.sequence,
    isShortened: base.isShortened || isCut || event.isShortened === true,
  };
}

function message(
  event: TaskEvent,
  role: MessageRow["role"],
  content: string,
  messageId: string | null,
): MessageRow {
  const data = event.data as { files?: MessageRow["files"]; status?: string };
  return {
    ...common(event),
    kind: "message",
    isError: false,
    messageId,
    role,
    content,
    status: data.status === "queued" ? "waiting" : null,
    files: data.files ?? [],
  };
}

function delivered(row: MessageRow | null): MessageRow | null {
  return row === null ? null : { ...row, status: "delivered" };
}

function platform(event: TaskEvent, asleepSince: string | null): PlatformRow {
  const isWaking = event.type === "task.woken" && asleepSince !== null;
  return {
    ...common(event),
    kind: SEPARATORS.has(event.type) ? "separator" : "platform",
    isError: FAILURES.has(event.type),
    event,
    asleepMs: isWaking ? Date.parse(event.createdAt) - Date.parse(asleepSince) : null,
  };
}

/** The value with its long strings cut, and whether one was. */
export function shorten(value: unknown, depth = 0): [unknown, boolean] {
  if (typeof value === "string") {
    return value.length > KEPT_CHARACTERS ? [value.slice(0, KEPT_CHARACTERS), true] : [value, false];
  }
  if (typeof value !== "object" || value === null || depth > 60) return [value, false];
  let isCut = false;
  const entries = Object.entries(value).map(([key, child]) => {
    const [short, wasCut] = shorten(child, depth + 1);
    isCut ||= wasCut;
    return [key, short] as const;
  });
  if (!isCut) return [value, false];
  return [Array.isArray(value) ? entries.map(([, child]) => child) : Object.fromEntries(entries), true];
}

export type Filter = "all" | "messages" | "tools" | "errors" | "platform";

export function matches(row: Row, filter: Filter): boolean {
  if (filter === "all") return true;
  if (filter === "errors") return row.isError;
  if (filter === "messages") return row.kind === "message";
  if (filter === "tools") return row.kind === "tool";
  return row.kind === "platform" || row.kind === "separator";
}

/** The words of a row, for searching in what is loaded. */
export function textOf(row: Row): string {
  if (row.kind === "message") return row.content;
  if (row.kind === "tool") return `${row.tool} ${summaryOf(row)} ${row.output ?? ""}`;
  return `${row.event.type} ${JSON.stringify(row.event.data)}`;
}

/** A tool call in one line: its command, path, or first short value. */
export function summaryOf(row: ToolRow): string {
  const input = row.input;
  if (typeof input !== "object" || input === null) return "";
  const fields = input as Record<string, unknown>;
  for (const name of ["command", "path", "file_path", "filePath", "pattern", "query", "url"]) {
    if (typeof fields[name] === "string") return oneLine(fields[name]);
  }
  const first = Object.values(fields).find((value) => typeof value === "string" && value !== "");
  return typeof first === "string" ? oneLine(first) : "";
}

function oneLine(text: string): string {
  return text.slice(0, 300).replace(/\s+/g, " ").trim();
}
