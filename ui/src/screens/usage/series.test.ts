import { expect, test } from "vitest";
import type { UsageEntry } from "@/api/types";
import { daysBetween, MAX_SERIES, periodOf, stack, tops } from "./series";

const NOW = Date.parse("2026-03-26T23:30:00Z");

function row(day: string, fields: Partial<UsageEntry> = {}): UsageEntry {
  return {
    day,
    agentId: null,
    agentVersionId: null,
    provider: null,
    model: null,
    keyId: null,
    metadata: null,
    tasks: { finished: 1, failed: 0, cancelled: 0, expired: 0, live: 0 },
    containerMinutes: 2,
    costUsd: 0.1,
    modelCostUsd: 0.4,
    tokens: { input: 100, cachedInput: 50, output: 10 },
    ...fields,
  };
}

test("a period ends today in UTC, has as many days as it says, and may be given in either order", () => {
  expect(periodOf({}, NOW)).toEqual({ from: "2026-02-25", to: "2026-03-26" });
  expect(periodOf({ days: "7" }, NOW)).toEqual({ from: "2026-03-20", to: "2026-03-26" });
  expect(periodOf({ from: "2026-03-10", to: "2026-03-01" }, NOW)).toEqual({
    from: "2026-03-01",
    to: "2026-03-10",
  });
  expect(daysBetween("2026-02-27", "2026-03-01")).toEqual(["2026-02-27", "2026-02-28", "2026-03-01"]);
});

test("days without use are there, with nothing; the sums are right", () => {
  const days = daysBetween("2026-03-24", "2026-03-26");
  const stacked = stack([row("2026-03-24"), row("2026-03-26")], days, "cost", undefined);
  expect(stacked.series.map((each) => [each.label, each.values])).toEqual([
    ["models (estimate)", [0.4, 0, 0.4]],
    ["containers", [0.1, 0, 0.1]],
  ]);
  expect(stacked.totals).toEqual([0.5, 0, 0.5]);
  expect(tops(stacked)).toEqual([
    [0.5, 0, 0.5],
    [0.4, 0, 0.4],
  ]);
});

test("more groups than colours become one, and lose nothing", () => {
  const rows = Array.from({ length: 12 }, (_, index) =>
    row("2026-03-26", { agentId: `agt_${index}`, containerMinutes: index + 1 }),
  );
  const stacked = stack(rows, ["2026-03-26"], "minutes", "agent");
  expect(stacked.series).toHaveLength(MAX_SERIES);
  expect(stacked.series.at(-1)?.label).toBe("5 others");
  expect(stacked.totals).toEqual([78]);
});

test("names of clients are only names: __proto__ and constructor are groups like others", () => {
  const metadata = JSON.parse('{"__proto__": "x", "constructor": "y"}') as Record<string, string>;
  const stacked = stack(
    [row("2026-03-26", { metadata }), row("2026-03-26", { metadata: {} })],
    ["2026-03-26"],
    "tasks",
    "metadata.constructor",
  );
  expect(stacked.series.map((each) => each.label).sort()).toEqual(["(none)", "y"]);
});
