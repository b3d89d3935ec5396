import { getRouteApi } from "@tanstack/react-router";
import { Download, Maximize2, Minimize2 } from "lucide-react";
import { useEffect, useState } from "react";
import { OWN_PAGE } from "@/api/client";
import type { Task } from "@/api/types";
import { Button } from "@/widgets/Button";
import { notify } from "@/widgets/Toasts";
import { FILTERS, type Search } from "./search";
import { words } from "./words";

const route = getRouteApi("/shell/tasks/$taskId");

export function useTimelineSearch(): { show: (typeof FILTERS)[number]; find: string } {
  const { show = "all", find = "" } = route.useSearch();
  return { show, find };
}

type Props = { task: Task; found: number | null; isFullScreen: boolean; onFullScreen: () => void };

export function TimelineBar(props: Props) {
  const { show, find } = useTimelineSearch();
  const navigate = route.useNavigate();
  const [text, setText] = useState(find);
  const set = (change: Partial<Search>) =>
    void navigate({ search: (old) => ({ ...old, ...change }), replace: true, hash: true });
  // biome-ignore lint/correctness/useExhaustiveDependencies: the URL follows the field, not the other way round
  useEffect(() => {
    const timer = setTimeout(() => {
      if (text !== find) set({ find: text || undefined });
    }, 250);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <div className="flex flex-wrap items-center gap-2 border-b border-line px-3 py-1.5">
      <fieldset className="flex gap-0.5">
        <legend className="sr-only">{words.timeline}</legend>
        {FILTERS.map((filter) => (
          <button
            key={filter}
            type="button"
            aria-pressed={show === filter}
            onClick={() => set({ show: filter === "all" ? undefined : filter })}
            className="rounded px-2 py-1 text-[13px] text-soft hover:bg-sunk aria-pressed:bg-accent-soft aria-pressed:text-ink"
          >
            {words.filters[filter]}
          </button>
        ))}
      </fieldset>
      <span className="flex-1" />
      <input
        type="search"
        aria-label={words.find}
        placeholder={words.find}
        value={text}
        onChange={(event) => setText(event.target.value)}
        className="w-44 rounded-md border border-line bg-panel px-2 py-1 text-[13px] placeholder:text-soft"
      />
      {props.found !== null && <span className="text-[13px] text-soft">{words.found(props.found)}</span>}
      <Button
        size="small"
        kind="quiet"
        onClick={() => void downloadLog(props.task.id)}
        aria-label={words.downloadLog}
      >
        <Download aria-hidden size={15} />
      </Button>
      <Button
        size="small"
        kind="quiet"
        onClick={props.onFullScreen}
        aria-label={props.isFullScreen ? words.leaveFullScreen : words.fullScreen}
      >
        {props.isFullScreen ? <Minimize2 aria-hidden size={15} /> : <Maximize2 aria-hidden size={15} />}
      </Button>
    </div>
  );
}

/** Save all events of the log, one in a line. */
async function downloadLog(taskId: string): Promise<void> {
  const lines: string[] = [];
  let after = 0;
  try {
    for (;;) {
      const path = `/api/v1/tasks/${encodeURIComponent(taskId)}/events?order=asc&limit=1000${after ? `&after=${after}` : ""}`;
      const response = await fetch(path, { headers: OWN_PAGE });
      if (!response.ok) throw new Error(`The log could not be read (${response.status}).`);
      const page = (await response.json()) as {
        data: { sequence: number }[];
        pageInfo: { hasMore: boolean };
      };
      for (const event of page.data) lines.push(`${JSON.stringify(event)}\n`);
      after = page.data.at(-1)?.sequence ?? after;
      if (!page.pageInfo.hasMore || page.data.length === 0) break;
    }
    const url = URL.createObjectURL(new Blob(lines, { type: "application/x-ndjson" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `${taskId}.ndjson`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (fault) {
    notify(fault instanceof Error ? fault.message : String(fault));
  }
}
