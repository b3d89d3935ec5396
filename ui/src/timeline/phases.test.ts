import { expect, test } from "vitest";
import type { TaskEvent } from "@/api/types";
import { phasesOf } from "./phases";

const event = (type: string, second: number, data: object = {}) =>
  ({ type, createdAt: new Date(second * 1000).toISOString(), data }) as unknown as TaskEvent;

test("queue, start, run, sleep, and the same again", () => {
  const phases = phasesOf(
    [
      event("task.created", 0),
      event("task.claimed", 2, { attempt: 1 }),
      event("task.started", 3, { attempt: 1 }),
      event("tool.started", 4),
      event("task.hibernated", 10),
      event("task.woken", 100),
      event("task.claimed", 101, { attempt: 2 }),
      event("task.started", 102, { attempt: 2 }),
    ],
    110_000,
  );
  expect(phases.map((phase) => [phase.kind, (phase.to - phase.from) / 1000, phase.attempt])).toEqual([
    ["queued", 2, null],
    ["starting", 1, 1],
    ["running", 7, 1],
    ["asleep", 90, 1],
    ["queued", 1, null],
    ["starting", 1, 2],
    ["running", 8, 2],
  ]);
  expect(phasesOf([event("task.created", 0), event("task.failed", 5)], 9000)).toHaveLength(1);
});
