/** From the URL's filters to the API's. */
import type { TaskFilters } from "@/api/queries";
import type { Search } from "./search";

const HOUR = 3_600_000;
const RANGE_MS = { "1h": HOUR, "24h": 24 * HOUR, "7d": 7 * 24 * HOUR, "30d": 30 * 24 * HOUR };

export function toFilters(search: Search, now: number): TaskFilters {
  const filters: TaskFilters = {};
  if (search.status) filters.status = search.status;
  if (search.agent) filters.agentId = search.agent;
  if (search.mode) filters.mode = search.mode;
  if (search.error) filters.errorCode = search.error;
  if (search.q) filters.q = search.q;
  if (search.range) filters.createdAfter = new Date(now - RANGE_MS[search.range]).toISOString();
  if (search.after) filters.createdAfter = startOfDay(search.after, 0);
  if (search.before) filters.createdBefore = startOfDay(search.before, 1);
  if (search.metadata) {
    filters.metadata = Object.fromEntries(
      search.metadata.map((each) => {
        const at = each.indexOf(":");
        return [`metadata.${each.slice(0, at)}`, each.slice(at + 1)];
      }),
    );
  }
  return filters;
}

/** Local midnight of a day, or of a later one. */
function startOfDay(day: string, later: number): string {
  const [year = 1970, month = 1, date = 1] = day.split("-").map(Number);
  return new Date(year, month - 1, date + later).toISOString();
}

export type Chip = { label: string; without: Search };

/** One chip for each filter that holds, with the search that lacks it. */
export function chips(search: Search, names: (agentId: string) => string): Chip[] {
  const found: Chip[] = [];
  const plain: [keyof Search, string][] = [
    ["agent", search.agent ? `agent: ${names(search.agent)}` : ""],
    ["mode", `mode: ${search.mode}`],
    ["error", `error: ${search.error}`],
    ["range", `created: ${search.range}`],
    ["after", `from ${search.after}`],
    ["before", `to ${search.before}`],
    ["q", `“${search.q}”`],
  ];
  for (const status of search.status ?? []) {
    const rest = search.status?.filter((each) => each !== status);
    found.push({
      label: `status: ${status}`,
      without: { ...search, status: rest?.length ? rest : undefined },
    });
  }
  for (const [name, label] of plain) {
    if (search[name] !== undefined) found.push({ label, without: { ...search, [name]: undefined } });
  }
  for (const pair of search.metadata ?? []) {
    const rest = search.metadata?.filter((each) => each !== pair);
    found.push({
      label: pair.replace(":", "="),
      without: { ...search, metadata: rest?.length ? rest : undefined },
    });
  }
  return found;
}
