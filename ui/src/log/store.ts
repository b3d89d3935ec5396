/** The log of one run, outside of React: rows by id, their order, and the text that is being written.
 *
 * Each event costs constant time. A subscriber of one row is told of that row only. */
import type { TaskEvent } from "@/api/types";
import { fold, type MessageRow, type Row, type ToolRow } from "./rows";

export type LiveText = { id: number; text: string } | null;

export class LogStore {
  private readonly rows = new Map<string, Row>();
  private readonly toolRows = new Map<string, string>();
  private readonly messageRows = new Map<string, string>();
  private readonly rowListeners = new Map<string, Set<() => void>>();
  private readonly listListeners = new Set<() => void>();
  private readonly liveListeners = new Set<() => void>();
  /** The ids of the rows, in the order of their events. It grows in place; `version` counts its changes. */
  order: string[] = [];
  version = 0;
  first: number | null = null;
  last = 0;
  live: LiveText = null;
  running: ToolRow | null = null;
  /** The number of the newest attempt that is known. */
  attempt = 0;
  private liveCount = 0;
  private asleepSince: string | null = null;

  row(id: string): Row | undefined {
    return this.rows.get(id);
  }

  /** Take events that are newer than all others, in their order. */
  append(events: readonly TaskEvent[]): void {
    const added: string[] = [];
    for (const event of events) {
      if (event.sequence <= this.last) continue;
      this.last = event.sequence;
      this.first ??= event.sequence;
      this.take(event, added);
    }
    if (added.length === 0) return;
    this.order.push(...added);
    this.changed();
  }

  /** Take a page of older events, which ends right before the first one that is known. */
  prepend(events: readonly TaskEvent[]): void {
    const added: string[] = [];
    let order = this.order;
    for (const event of events) {
      if (this.first !== null && event.sequence >= this.first) continue;
      const orphan = event.type === "tool.started" ? this.orphan(event.data.callId) : null;
      if (orphan !== null) {
        order = order.filter((id) => id !== orphan.id);
        this.rows.delete(orphan.id);
      }
      this.take(event, added, orphan);
    }
    const oldest = events[0]?.sequence;
    if (oldest !== undefined) this.first = Math.min(this.first ?? oldest, oldest);
    this.order = [...added, ...order];
    this.changed();
  }

  /** Text that the agent is writing now. It is replaced by the message that it becomes. */
  write(text: string): void {
    this.live = { id: this.live?.id ?? this.liveCount, text: (this.live?.text ?? "") + text };
    for (const listener of this.liveListeners) listener();
  }

  clear(): void {
    this.rows.clear();
    this.toolRows.clear();
    this.messageRows.clear();
    this.first = null;
    this.last = 0;
    this.attempt = 0;
    this.running = null;
    this.endLive();
    this.order = [];
    this.changed();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listListeners.add(listener);
    return () => this.listListeners.delete(listener);
  };

  readonly subscribeLive = (listener: () => void): (() => void) => {
    this.liveListeners.add(listener);
    return () => this.liveListeners.delete(listener);
  };

  subscribeRow(id: string, listener: () => void): () => void {
    const listeners = this.rowListeners.get(id) ?? new Set();
    listeners.add(listener);
    this.rowListeners.set(id, listeners);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.rowListeners.delete(id);
    };
  }

  /** How many messages wait that were sent before this one. */
  waitingBefore(row: MessageRow): number {
    let count = 0;
    for (const id of this.messageRows.values()) {
      const other = this.rows.get(id);
      if (other?.kind === "message" && other.status === "waiting" && other.sequence < row.sequence)
        count += 1;
    }
    return count;
  }

  private take(event: TaskEvent, added: string[], orphan: ToolRow | null = null): void {
    const row = fold(event, {
      tool: (callId, sequence) => orphan ?? this.openTool(callId, sequence),
      message: (messageId) => this.get(this.messageRows.get(messageId)) as MessageRow | null,
      asleepSince: this.asleepSince,
    });
    if (event.type === "task.hibernated") this.asleepSince = event.createdAt;
    if (event.type === "task.woken") this.asleepSince = null;
    if (event.type === "message.completed" || event.type.startsWith("task.")) this.endLive();
    if (row === null) return;
    if (!this.rows.has(row.id)) added.push(row.id);
    this.rows.set(row.id, row);
    if (row.kind === "tool") this.toolRows.set(row.callId, row.id);
    if (row.kind === "message" && row.messageId !== null) this.messageRows.set(row.messageId, row.id);
    this.running =
      row.kind === "tool" && row.isRunning ? row : this.running?.id === row.id ? null : this.running;
    for (const listener of this.rowListeners.get(row.id) ?? []) listener();
  }

  /** A call that has started and not completed. The ids of calls may repeat in another attempt. */
  private openTool(callId: string, sequence: number): ToolRow | null {
    const row = this.get(this.toolRows.get(callId));
    return row?.kind === "tool" && row.isRunning && row.sequence < sequence ? row : null;
  }

  /** A call of whose events only the completion is known. */
  private orphan(callId: string): ToolRow | null {
    const row = this.get(this.toolRows.get(callId));
    return row?.kind === "tool" && row.startedSequence === null ? row : null;
  }

  private get(id: string | undefined): Row | null {
    return (id === undefined ? undefined : this.rows.get(id)) ?? null;
  }

  private changed(): void {
    this.version += 1;
    for (const listener of this.listListeners) listener();
  }

  private endLive(): void {
    if (this.live === null) return;
    this.live = null;
    this.liveCount += 1;
    for (const listener of this.liveListeners) listener();
  }
}
