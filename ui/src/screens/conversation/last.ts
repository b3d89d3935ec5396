/** What the end of a conversation's log says: the last message of the user, whether its turn failed, and the expiry. */
import type { LogStore } from "@/log/store";

export type Last = { userText: string | null; hasFailed: boolean; expiresAt: string | null };

export function lastOf(store: LogStore): Last {
  const last: Last = { userText: null, hasFailed: false, expiresAt: null };
  for (let place = store.order.length - 1; place >= 0; place -= 1) {
    const row = store.row(store.order[place] ?? "");
    if (row === undefined || row.kind === "tool") continue;
    if (row.kind === "message") {
      if (row.role !== "user") continue;
      last.userText = row.isShortened ? null : row.content;
      return last;
    }
    if (row.event.type === "turn.failed") last.hasFailed = true;
    if (row.event.type === "task.awaiting_input") last.expiresAt ??= row.event.data.expiresAt;
  }
  return last;
}
