import { expect, test } from "vitest";
import type { UsageEntry } from "@/api/usage";
import type { OfferedModel } from "@/execution/models";
import { choices } from "./example";
import { summarise, twoDays } from "./today";

test("today's ends are counted, and its spend is held against yesterday's", () => {
  const row = (day: string, finished: number, failed: number, costUsd: number) =>
    ({ day, tasks: { finished, failed, cancelled: 0, expired: 0, live: 1 }, costUsd }) as UsageEntry;
  const rows = [row("2026-03-25", 9, 9, 0.5), row("2026-03-26", 2, 1, 0.6)];
  expect(summarise(rows, "2026-03-26")).toEqual({
    ends: [
      ["finished", 2],
      ["failed", 1],
    ],
    todayUsd: 0.6,
    yesterdayUsd: 0.5,
  });
  expect(summarise([], "2026-03-26")).toEqual({ ends: [], todayUsd: 0, yesterdayUsd: 0 });
  expect(twoDays(Date.parse("2026-03-01T23:59:59Z"))).toEqual({ from: "2026-02-28", to: "2026-03-01" });
});

test("the example offers the models of stored keys, the default first, and the script last", () => {
  const model = (provider: string, id: string, isDefault = false) =>
    ({ provider, id, isDefault }) as OfferedModel;
  const models = [model("anthropic", "a"), model("anthropic", "b", true), model("openai", "c")];
  expect(choices(["anthropic"], models, true)).toEqual([
    { provider: "anthropic", model: "b" },
    { provider: "anthropic", model: "a" },
    { provider: "offline", model: null },
  ]);
  expect(choices([], models, false)).toEqual([]);
});
