import { expect, test } from "vitest";
import type { Row } from "@/log/rows";
import { groupsOf, work } from "./groups";

const base = { at: "", turnNumber: 1, isError: false, isShortened: false };
const message = (sequence: number, role: string, content: string, messageId: string | null = null) =>
  ({
    ...base,
    id: `e${sequence}`,
    sequence,
    kind: "message",
    role,
    content,
    messageId,
    files: [],
  }) as unknown as Row;
const tool = (sequence: number, durationMs: number) =>
  ({ ...base, id: `e${sequence}`, sequence, kind: "tool", durationMs, isRunning: false }) as unknown as Row;
const platform = (sequence: number, type: string) =>
  ({ ...base, id: `e${sequence}`, sequence, kind: "platform", event: { type } }) as unknown as Row;

test("tools between messages are one fold, and a reply is shown once", () => {
  const groups = groupsOf([
    platform(1, "task.created"),
    message(2, "user", "Hi", "msg_1"),
    tool(3, 10),
    tool(4, 30),
    message(5, "assistant", "Hello "),
    message(6, "assistant", "Hello", "msg_2"),
    platform(7, "turn.completed"),
    message(8, "user", "More", "msg_3"),
    platform(9, "turn.failed"),
  ]);
  expect(groups.map((group) => group.id)).toEqual(["e2", "g3", "e5", "e8", "e9"]);
  expect(work(groups[1]?.rows ?? [])).toEqual({ tools: 2, ms: 40, isRunning: false, hasError: false });
});
