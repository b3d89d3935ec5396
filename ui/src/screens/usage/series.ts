/** Rows of the API's usage as series for a stacked chart and its table. */
import type { UsageEntry } from "@/api/types";
import type { MEASURES } from "./search";
import { words } from "./words";

export type Measure = (typeof MEASURES)[number];
export type Series = { id: string; label: string; values: number[]; total: number };
export type Stack = { days: string[]; series: Series[]; totals: number[] };

/** More series than this cannot be told apart: the smallest become one. */
export const MAX_SERIES = 8;
const DAY_MS = 86_400_000;

/** Every day from the first to the last. */
export function daysBetween(first: string, last: string): string[] {
  const days: string[] = [];
  for (let at = Date.parse(first); at <= Date.parse(last) && days.length < 366; at += DAY_MS)
    days.push(new Date(at).toISOString().slice(0, 10));
  return days;
}

/** The first and last day of a period, in UTC. */
export function periodOf(
  search: { days?: string; from?: string; to?: string },
  now: number,
): { from: string; to: string } {
  const today = new Date(now).toISOString().slice(0, 10);
  const to = search.to ?? today;
  const days = Number(search.days ?? 30);
  const from = search.from ?? new Date(Date.parse(to) - (days - 1) * DAY_MS).toISOString().slice(0, 10);
  return from <= to ? { from, to } : { from: to, to: from };
}

/** The series of these rows, the largest first. Without `by`: one for each kind of the measure. */
export function stack(rows: UsageEntry[], days: string[], measure: Measure, by: string | undefined): Stack {
  const place = new Map(days.map((day, index) => [day, index]));
  const series = new Map<string, Series>();
  for (const row of rows) {
    const index = place.get(row.day ?? "");
    if (index === undefined) continue;
    for (const [id, label, value] of partsOf(row, measure, by)) {
      const known = series.get(id) ?? { id, label, values: days.map(() => 0), total: 0 };
      known.values[index] = (known.values[index] ?? 0) + value;
      known.total += value;
      series.set(id, known);
    }
  }
  const sorted = [...series.values()].sort((a, b) => b.total - a.total || a.label.localeCompare(b.label));
  const shown = sorted.length > MAX_SERIES ? fold(sorted) : sorted;
  const totals = days.map((_, index) => shown.reduce((sum, each) => sum + (each.values[index] ?? 0), 0));
  return { days, series: shown, totals };
}

function fold(series: Series[]): Series[] {
  const rest = series.slice(MAX_SERIES - 1);
  const others: Series = {
    id: "others",
    label: words.others(rest.length),
    values: (rest[0]?.values ?? []).map((_, index) =>
      rest.reduce((sum, each) => sum + (each.values[index] ?? 0), 0),
    ),
    total: rest.reduce((sum, each) => sum + each.total, 0),
  };
  return [...series.slice(0, MAX_SERIES - 1), others];
}

function partsOf(row: UsageEntry, measure: Measure, by: string | undefined): [string, string, number][] {
  const kinds: [string, number][] = {
    cost: [
      [words.container, row.costUsd],
      [words.model, row.modelCostUsd],
    ] as [string, number][],
    tokens: [
      [words.input, row.tokens.input],
      [words.output, row.tokens.output],
    ] as [string, number][],
    minutes: [[words.container, row.containerMinutes]] as [string, number][],
    tasks: (["finished", "failed", "cancelled", "expired"] as const).map((end): [string, number] => [
      end,
      row.tasks[end],
    ]),
  }[measure];
  if (by === undefined) return kinds.map(([label, value]) => [label, label, value]);
  const id = groupOf(row, by);
  return [[id ?? "", id ?? words.none, kinds.reduce((sum, [, value]) => sum + value, 0)]];
}

function groupOf(row: UsageEntry, by: string): string | null {
  if (by === "agent") return row.agentId;
  if (by === "key") return row.keyId;
  if (by === "model") return row.model === null ? null : `${row.provider}/${row.model}`;
  const key = by.slice("metadata.".length);
  return row.metadata !== null && Object.hasOwn(row.metadata, key) ? (row.metadata[key] ?? null) : null;
}

/** The tops of the bars, each on those below it, the topmost first: so that they are drawn one over the other. */
export function tops(stacked: Stack): number[][] {
  let below = stacked.days.map(() => 0);
  const result: number[][] = [];
  for (const series of stacked.series) {
    below = below.map((value, index) => value + (series.values[index] ?? 0));
    result.unshift(below);
  }
  return result;
}
