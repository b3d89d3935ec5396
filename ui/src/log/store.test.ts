import { describe, expect, test } from "vitest";
import type { TaskEvent } from "@/api/types";
import { matches, shorten, summaryOf, type ToolRow } from "./rows";
import { LogStore } from "./store";

function event(sequence: number, type: string, data: object): TaskEvent {
  const at = new Date(1_700_000_000_000 + sequence).toISOString();
  return {
    id: `evt_${sequence}`,
    sequence,
    type,
    taskId: "tsk_1",
    createdAt: at,
    data,
  } as unknown as TaskEvent;
}

const started = (sequence: number, callId: string, command = "ls") =>
  event(sequence, "tool.started", {
    activityId: `act_${sequence}`,
    callId,
    tool: "bash",
    input: { command },
    inputOmittedReason: null,
  });
const completed = (sequence: number, callId: string, isError = false) =>
  event(sequence, "tool.completed", { callId, tool: "bash", isError, output: "out", durationMs: 5 });
const said = (sequence: number, content: string) =>
  event(sequence, "message.completed", { role: "assistant", content });

function rowsOf(store: LogStore): object[] {
  return store.order.map((id) => store.row(id) ?? {});
}

describe("rows", () => {
  test("a call and its completion are one row, whose subscriber alone is told", () => {
    const store = new LogStore();
    store.append([said(1, "Hello"), started(2, "a")]);
    let own = 0;
    let other = 0;
    store.subscribeRow("e2", () => {
      own += 1;
    });
    store.subscribeRow("e1", () => {
      other += 1;
    });
    expect(store.running?.callId).toBe("a");
    store.append([completed(3, "a", true)]);
    expect(store.order).toEqual(["e1", "e2"]);
    expect(store.row("e2")).toMatchObject({
      isRunning: false,
      isError: true,
      output: "out",
      completedSequence: 3,
    });
    expect([own, other, store.running]).toEqual([1, 0, null]);
  });

  test("the same id of a call in another attempt is another row", () => {
    const store = new LogStore();
    store.append([started(1, "a"), completed(2, "a"), started(3, "a"), completed(4, "a")]);
    expect(store.order).toEqual(["e1", "e3"]);
  });

  test.each([1, 2, 3, 4, 5, 6, 7])("pages that meet after event %i give the rows of the whole log", (cut) => {
    const log = [
      event(1, "task.created", { status: "pending" }),
      event(2, "task.started", { attempt: 1 }),
      started(3, "a"),
      said(4, "Meanwhile"),
      started(5, "b"),
      completed(6, "a"),
      completed(7, "b"),
      said(8, "Done"),
    ];
    const whole = new LogStore();
    whole.append(log);
    const paged = new LogStore();
    paged.append(log.slice(cut));
    paged.prepend(log.slice(0, cut));
    expect(rowsOf(paged)).toEqual(rowsOf(whole));
    expect(paged.first).toBe(1);
  });

  test("events that are known are not taken twice", () => {
    const store = new LogStore();
    store.append([said(1, "a"), said(2, "b")]);
    store.append([said(2, "b"), said(3, "c")]);
    expect(store.order).toEqual(["e1", "e2", "e3"]);
    expect(store.last).toBe(3);
  });

  test("live text is replaced by the message that it becomes", () => {
    const store = new LogStore();
    store.write("Hel");
    store.write("lo");
    expect(store.live?.text).toBe("Hello");
    store.append([said(1, "Hello")]);
    expect(store.live).toBeNull();
  });

  test("100,000 events are taken within seconds", () => {
    const store = new LogStore();
    const begun = performance.now();
    for (let at = 1; at < 100_000; at += 100) {
      const batch: TaskEvent[] = [];
      for (let each = at; each < at + 100; each += 2)
        batch.push(started(each, `c${each}`), completed(each + 1, `c${each}`));
      store.append(batch);
    }
    expect(store.order.length).toBe(50_000);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });
});

test("long strings of inputs are cut, and marked", () => {
  const [short, isCut] = shorten({ content: "x".repeat(10_000), path: "a" });
  expect(isCut).toBe(true);
  expect((short as { content: string }).content.length).toBe(4096);
  expect(shorten({ a: [1, "b", null] })[1]).toBe(false);
});

test("a call in one line", () => {
  const row = (input: unknown) => ({ kind: "tool", input }) as ToolRow;
  expect(summaryOf(row({ command: "ls\n -l" }))).toBe("ls -l");
  expect(summaryOf(row({ depth: 1, path: "/a" }))).toBe("/a");
  expect(summaryOf(row(null))).toBe("");
});

test("filters", () => {
  const store = new LogStore();
  store.append([
    said(1, "x"),
    started(2, "a"),
    completed(3, "a", true),
    event(4, "task.started", { attempt: 1 }),
  ]);
  const kinds = (filter: Parameters<typeof matches>[1]) =>
    store.order.filter((id) => {
      const row = store.row(id);
      return row && matches(row, filter);
    });
  expect(kinds("errors")).toEqual(["e2"]);
  expect(kinds("messages")).toEqual(["e1"]);
  expect(kinds("platform")).toEqual(["e4"]);
});
