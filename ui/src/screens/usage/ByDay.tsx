/** What was used on each day: bars, and a table with the same numbers. */
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { api, data } from "@/api/client";
import { accountQuery, agentsQuery } from "@/api/queries";
import type { UsageEntry } from "@/api/types";
import { Name } from "@/content/Text";
import { money, short, whole } from "@/parts/format";
import { type Column, Table } from "@/parts/Page";
import { Empty, Loaded } from "@/parts/States";
import { save } from "@/parts/save";
import { Button } from "@/widgets/Button";
import { SelectField, TextField } from "@/widgets/Fields";
import { notify } from "@/widgets/Toasts";
import { Chart } from "./Chart";
import { MARKS } from "./colours";
import { MEASURES, RANGES, type Search } from "./search";
import { daysBetween, type Measure, periodOf, type Series, type Stack, stack } from "./series";
import { readUsage } from "./usage";
import { words } from "./words";

const route = getRouteApi("/shell/usage");
const MAX_PAGES = 5;

export function ByDay() {
  const search = route.useSearch();
  const [now] = useState(() => Date.now());
  const { from, to } = periodOf(search, now);
  const by = search.by ? `day,${search.by}` : "day";
  const measure = search.measure ?? "cost";
  const query = useQuery({
    queryKey: ["usage", from, to, by],
    queryFn: () => readAll({ from, to, by }),
    refetchInterval: 60_000,
  });
  const exportCsv = () =>
    save(
      `/api/v1/usage?${new URLSearchParams({ from, to, by, format: "csv" })}`,
      `usage-${from}-${to}.csv`,
    ).catch((error: Error) => notify(error.message));
  return (
    <div className="space-y-4 pt-4">
      <Controls search={search} from={from} to={to} onExport={() => void exportCsv()} />
      <Loaded query={query}>
        {({ rows, isCut }) => (
          <>
            <Shown rows={rows} from={from} to={to} measure={measure} by={search.by} />
            {isCut && <p className="text-soft">{words.cut}</p>}
          </>
        )}
      </Loaded>
    </div>
  );
}

async function readAll(query: { from: string; to: string; by: string }) {
  const rows: UsageEntry[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const parameters: { from: string; to: string; by: string; limit: number; cursor?: string } = {
      ...query,
      limit: 1000,
      ...(cursor === null ? {} : { cursor }),
    };
    const answer = await readUsage(parameters);
    rows.push(...answer.data);
    if (!answer.pageInfo.hasMore) return { rows, isCut: false };
    cursor = answer.pageInfo.nextCursor;
  }
  return { rows, isCut: true };
}

function Shown(props: {
  rows: UsageEntry[];
  from: string;
  to: string;
  measure: Measure;
  by: string | undefined;
}) {
  const { rows, from, to, measure, by } = props;
  const nameOf = useNames(by);
  const stacked = useMemo(
    () => stack(rows, daysBetween(from, to), measure, by),
    [rows, from, to, measure, by],
  );
  const format = useCallback((value: number) => shownAs(value, measure), [measure]);
  if (stacked.totals.every((total) => total === 0))
    return <Empty title={words.nothing}>{words.nothingText}</Empty>;
  return (
    <>
      <div className="rounded-lg border border-line bg-panel p-3">
        <ul className="mb-2 flex flex-wrap gap-x-4 gap-y-1 text-[13px]">
          {stacked.series.map((series, index) => (
            <li key={series.id} className="flex items-center gap-1.5">
              <span aria-hidden className={`size-2.5 rounded-sm ${MARKS[index]}`} />
              <Name text={nameOf(series)} /> {format(series.total)}
            </li>
          ))}
        </ul>
        <Chart stack={stacked} label={words.chart(words.measures[measure])} format={format} />
      </div>
      <Numbers stacked={stacked} nameOf={nameOf} format={format} />
    </>
  );
}

type DayRow = { day: string; index: number };

function Numbers(props: {
  stacked: Stack;
  nameOf: (series: Series) => string;
  format: (value: number) => string;
}) {
  const { stacked, nameOf, format } = props;
  const rows: DayRow[] = stacked.days
    .map((day, index) => ({ day, index }))
    .filter(({ index }) => stacked.totals[index] !== 0)
    .reverse();
  const sum = stacked.totals.reduce((total, each) => total + each, 0);
  const columns: Column<DayRow>[] = [
    { title: words.day, cell: (row) => <span className="whitespace-nowrap font-medium">{row.day}</span> },
    ...stacked.series.map((series, place) => ({
      title: `${nameOf(series).slice(0, 80)}${"\u200a".repeat(place)}`,
      isRight: true,
      cell: (row: DayRow) => (
        <>
          <span className="text-soft sm:hidden">{nameOf(series).slice(0, 80)} </span>
          <span className="tabular-nums">
            {row.index < 0 ? format(series.total) : format(series.values[row.index] ?? 0)}
          </span>
        </>
      ),
    })),
    {
      title: words.total,
      isRight: true,
      cell: (row) => (
        <span className="font-medium tabular-nums">
          {format(row.index < 0 ? sum : (stacked.totals[row.index] ?? 0))}
        </span>
      ),
    },
  ];
  return (
    <Table
      label={words.title}
      columns={columns}
      rows={[{ day: words.total, index: -1 }, ...rows]}
      id={(row) => row.day}
    />
  );
}

function shownAs(value: number, measure: Measure): string {
  if (measure === "cost") return money(value);
  if (measure === "tokens") return short(Math.round(value));
  return measure === "minutes"
    ? `${value < 10 ? value.toFixed(1) : whole(Math.round(value))} min`
    : whole(value);
}

/** Names of agents and keys for their ids. */
function useNames(by: string | undefined): (series: Series) => string {
  const agents = useQuery({ ...agentsQuery, enabled: by === "agent" });
  const keys = useQuery({
    queryKey: ["api-keys"],
    queryFn: () => data(api.GET("/api/v1/api-keys", { params: { query: { limit: 100 } } })),
    enabled: by === "key",
  });
  const names = new Map([
    ...(by === "agent" ? (agents.data?.data ?? []) : []).map((each): [string, string] => [
      each.id,
      each.name,
    ]),
    ...(by === "key" ? (keys.data?.data ?? []) : []).map((each): [string, string] => [each.id, each.name]),
  ]);
  return (series) => names.get(series.id) ?? series.label;
}

function Controls(props: { search: Search; from: string; to: string; onExport: () => void }) {
  const { search } = props;
  const navigate = route.useNavigate();
  const account = useQuery(accountQuery);
  const set = (next: Partial<Search>) =>
    void navigate({ search: { ...search, ...next }, replace: true, resetScroll: false });
  const isCustom = search.from !== undefined || search.to !== undefined;
  const metadata = account.data?.usageMetadataKeys ?? [];
  return (
    <div className="grid grid-cols-2 items-end gap-3 sm:grid-cols-[repeat(5,minmax(0,1fr))_auto]">
      <SelectField
        label={words.range}
        value={isCustom ? "" : (search.days ?? "30")}
        onChange={(event) =>
          set({ days: event.target.value as Search["days"], from: undefined, to: undefined })
        }
      >
        {isCustom && <option value="">{words.custom}</option>}
        {RANGES.map((days) => (
          <option key={days} value={days}>
            {words.ranges[days]}
          </option>
        ))}
      </SelectField>
      <TextField
        label={words.from}
        type="date"
        value={props.from}
        onChange={(event) => event.target.value && set({ from: event.target.value, to: props.to })}
      />
      <TextField
        label={words.to}
        type="date"
        value={props.to}
        onChange={(event) => event.target.value && set({ to: event.target.value, from: props.from })}
      />
      <SelectField
        label={words.by}
        value={search.by ?? ""}
        onChange={(event) => set({ by: event.target.value || undefined })}
      >
        <option value="">{words.kinds}</option>
        {Object.entries(words.groups).map(([group, label]) => (
          <option key={group} value={group}>
            {label}
          </option>
        ))}
        {metadata.map((key) => (
          <option key={key} value={`metadata.${key}`}>
            {words.metadata(key)}
          </option>
        ))}
      </SelectField>
      <SelectField
        label={words.measure}
        value={search.measure ?? "cost"}
        onChange={(event) => set({ measure: event.target.value as Measure })}
      >
        {MEASURES.map((measure) => (
          <option key={measure} value={measure}>
            {words.measures[measure]}
          </option>
        ))}
      </SelectField>
      <Button onClick={props.onExport}>
        <Download aria-hidden size={14} /> {words.csv}
      </Button>
    </div>
  );
}
