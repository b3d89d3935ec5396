/** The rows of the timeline. Each is told of its own changes only. */
import { queryOptions, useQuery } from "@tanstack/react-query";
import {
  Bot,
  Braces,
  ChevronDown,
  ChevronRight,
  CircleAlert,
  FilePen,
  FileText,
  Info,
  Link2,
  type LucideIcon,
  Search,
  Terminal,
  User,
  Wrench,
} from "lucide-react";
import { memo, type ReactNode, useState } from "react";
import { api, data } from "@/api/client";
import type { StreamState } from "@/api/sse";
import type { Task, TaskEvent } from "@/api/types";
import { Code } from "@/content/Code";
import { JsonTree } from "@/content/JsonTree";
import { LiveMarkdown, Markdown } from "@/content/Markdown";
import { Name, Output } from "@/content/Text";
import { useLiveText, useRow } from "@/log/hooks";
import { type MessageRow, type PlatformRow, type Row, summaryOf, type ToolRow } from "@/log/rows";
import type { LogStore } from "@/log/store";
import { copy } from "@/parts/copy";
import { duration } from "@/parts/format";
import { ErrorNote, Loaded } from "@/parts/States";
import { Time } from "@/parts/Time";
import { Button } from "@/widgets/Button";
import { Dialog } from "@/widgets/Dialogs";
import { notify } from "@/widgets/Toasts";
import { words as shared } from "@/words";
import { sentenceOf } from "./eventWords";
import { words } from "./words";

type Props = { store: LogStore; id: string; taskId: string; isChosen: boolean; place: number; count: number };

/** What a row that was opened or closed by hand remembers while it is scrolled out of view. */
const opened = new Map<string, boolean>();

export const EventRow = memo(function EventRow(props: Props) {
  const row = useRow(props.store, props.id);
  if (row === undefined) return null;
  return (
    <article
      id={row.id}
      tabIndex={-1}
      data-row
      aria-posinset={props.place}
      aria-setsize={props.count}
      className={`group px-4 py-1 outline-offset-[-2px] ${props.isChosen ? "bg-accent-soft" : ""}`}
    >
      {row.kind === "message" ? (
        <MessageView row={row} taskId={props.taskId} store={props.store} />
      ) : row.kind === "tool" ? (
        <ToolView row={row} taskId={props.taskId} />
      ) : (
        <PlatformView row={row} taskId={props.taskId} />
      )}
    </article>
  );
});

function MessageView(props: { row: MessageRow; taskId: string; store: LogStore }) {
  const { row } = props;
  const Icon = row.role === "user" ? User : Bot;
  return (
    <div className="flex gap-2.5 py-1">
      <Icon aria-hidden size={16} className="mt-0.5 shrink-0 text-soft" />
      <div className="min-w-0 flex-1">
        <p className="sr-only">{row.role === "user" ? words.user : words.agent}</p>
        <div className={row.role === "user" ? "rounded-lg bg-sunk px-3 py-2" : ""}>
          {row.isShortened ? (
            <WholeMessage row={row} taskId={props.taskId} />
          ) : (
            <Markdown text={row.content} />
          )}
        </div>
        {row.status === "waiting" && (
          <p className="text-[12px] text-soft">{words.waiting(props.store.waitingBefore(row))}</p>
        )}
        {row.files.length > 0 && (
          <ul className="mt-1 flex flex-wrap gap-2 text-soft">
            {row.files.map((file) => (
              <li key={file.id} className="inline-flex items-center gap-1">
                <FileText aria-hidden size={13} /> <Name text={file.filename} />
              </li>
            ))}
          </ul>
        )}
      </div>
      <Tail row={row} taskId={props.taskId} />
    </div>
  );
}

/** A message whose text was cut in the list: all of it is read when it is asked for. */
function WholeMessage(props: { row: MessageRow; taskId: string }) {
  const whole = useWhole(props.taskId, props.row.sequence);
  const text = (whole.query.data?.data as { content?: string } | undefined)?.content ?? props.row.content;
  return (
    <>
      <Markdown text={text} />
      {!whole.query.data && <Load whole={whole} />}
    </>
  );
}

const TOOL_ICONS: Record<string, LucideIcon> = {
  bash: Terminal,
  read: FileText,
  write: FilePen,
  edit: FilePen,
  grep: Search,
  find: Search,
  ls: Search,
};

function ToolView(props: { row: ToolRow; taskId: string }) {
  const { row } = props;
  // Compact at first; failures are open by themselves.
  const [isOpen, setOpen] = useState(opened.get(`${props.taskId} ${row.id}`) ?? row.isError);
  const isShown = isOpen || (row.isError && !opened.has(`${props.taskId} ${row.id}`));
  const Icon = row.isError ? CircleAlert : (TOOL_ICONS[row.tool] ?? Wrench);
  const Chevron = isShown ? ChevronDown : ChevronRight;
  const toggle = () => {
    opened.set(`${props.taskId} ${row.id}`, !isShown);
    setOpen(!isShown);
  };
  return (
    <div>
      <div className="flex items-center gap-2">
        <button
          type="button"
          aria-expanded={isShown}
          onClick={toggle}
          data-expand
          className="flex min-w-0 flex-1 items-center gap-2 rounded py-0.5 text-left hover:bg-sunk"
        >
          <Chevron aria-hidden size={14} className="shrink-0 text-soft" />
          <Icon
            aria-hidden
            size={14}
            className={`shrink-0 ${row.isError ? "text-red" : row.isRunning ? "pulse-slow text-blue" : "text-soft"}`}
          />
          <span className="shrink-0 font-medium">
            <Name text={row.tool} />
          </span>
          <Name text={summaryOf(row)} className="min-w-0 truncate font-mono text-[12.5px] text-soft" />
          {row.isError && <span className="shrink-0 text-red">{words.failed}</span>}
          {row.isRunning && <span className="shrink-0 text-blue">{words.isRunning}</span>}
        </button>
        {row.durationMs !== null && (
          <span className="shrink-0 text-[12px] text-soft tabular-nums">{duration(row.durationMs)}</span>
        )}
        <Tail row={row} taskId={props.taskId} />
      </div>
      {isShown && <ToolBody row={row} taskId={props.taskId} />}
    </div>
  );
}

function ToolBody(props: { row: ToolRow; taskId: string }) {
  const { row } = props;
  const started = useWhole(props.taskId, row.startedSequence);
  const completed = useWhole(props.taskId, row.completedSequence);
  const input = (started.query.data?.data as { input?: unknown } | undefined)?.input ?? row.input;
  const output = (completed.query.data?.data as { output?: string } | undefined)?.output ?? row.output;
  const isCut = row.isShortened && !(started.query.data && completed.query.data);
  return (
    <div className="my-1 ml-6 space-y-2 border-l border-line pl-3">
      {row.inputOmitted ? (
        <p className="text-soft">{words.omitted}</p>
      ) : (
        input !== null && <Input tool={row.tool} input={input} />
      )}
      {output !== null && output !== "" && (
        <Output text={output} isBounded className="rounded-md bg-sunk p-2" />
      )}
      {output === "" && <p className="text-soft">{words.noOutput}</p>}
      {isCut && (
        <Load
          whole={{
            query: completed.query,
            load: () => {
              started.load();
              completed.load();
            },
          }}
        />
      )}
    </div>
  );
}

function Input(props: { tool: string; input: unknown }) {
  const fields =
    typeof props.input === "object" && props.input !== null ? (props.input as Record<string, unknown>) : {};
  const names = Object.keys(fields);
  if (props.tool === "bash" && names.length === 1 && typeof fields.command === "string") {
    return <Code text={fields.command} language="bash" />;
  }
  return <JsonTree value={props.input} />;
}

function PlatformView(props: { row: PlatformRow; taskId: string }) {
  const { row } = props;
  const sentence = <Name text={sentenceOf(row.event, row.asleepMs)} />;
  if (row.kind === "separator") {
    return (
      <div className="flex items-center gap-3 py-1 text-[13px] text-soft">
        <span className="h-px flex-1 bg-line" />
        {sentence}
        <Time at={row.at} />
        <span className="h-px flex-1 bg-line" />
        <Tail row={row} taskId={props.taskId} hasNoTime />
      </div>
    );
  }
  const Icon = row.isError ? CircleAlert : Info;
  return (
    <div className={`flex items-start gap-2 text-[13px] ${row.isError ? "text-red" : "text-soft"}`}>
      <Icon aria-hidden size={14} className="mt-1 shrink-0" />
      <span className="min-w-0 flex-1">{sentence}</span>
      <Tail row={row} taskId={props.taskId} />
    </div>
  );
}

/** The time, the link and the JSON of a row. */
function Tail(props: { row: Row; taskId: string; hasNoTime?: boolean }) {
  const [isRaw, setRaw] = useState(false);
  const { row } = props;
  const copyLink = async () => {
    const link = `${location.origin}${location.pathname}#e${row.sequence}`;
    history.replaceState(history.state, "", `#e${row.sequence}`);
    notify((await copy(link)) ? `${shared.copied}: link` : shared.copyFailed);
  };
  return (
    <span className="flex shrink-0 items-center gap-1 self-start text-[12px] text-soft">
      <span className="flex opacity-0 group-focus-within:opacity-100 group-hover:opacity-100">
        <IconButton label={words.link} onClick={() => void copyLink()}>
          <Link2 aria-hidden size={13} />
        </IconButton>
        <IconButton label={words.raw} onClick={() => setRaw(!isRaw)}>
          <Braces aria-hidden size={13} />
        </IconButton>
      </span>
      {!props.hasNoTime && <Time at={row.at} />}
      {isRaw && <Raw row={row} taskId={props.taskId} onClose={() => setRaw(false)} />}
    </span>
  );
}

function IconButton(props: { label: string; onClick: () => void; children: ReactNode }) {
  return (
    <button
      type="button"
      aria-label={props.label}
      title={props.label}
      onClick={props.onClick}
      className="inline-flex size-6 items-center justify-center rounded hover:bg-sunk"
    >
      {props.children}
    </button>
  );
}

function Raw(props: { row: Row; taskId: string; onClose: () => void }) {
  const query = useQuery({ ...eventQuery(props.taskId, props.row.sequence), enabled: true });
  return (
    <Dialog side isOpen onClose={props.onClose} title={`${words.raw} #${props.row.sequence}`}>
      <Loaded query={query}>{(event) => <JsonTree value={event} depth={2} />}</Loaded>
    </Dialog>
  );
}

type Whole = { query: { data?: TaskEvent; error: unknown; isFetching: boolean }; load: () => void };

/** An event with all of its text, read when it is asked for. */
function useWhole(taskId: string, sequence: number | null): Whole {
  const [isAsked, setAsked] = useState(false);
  const query = useQuery({ ...eventQuery(taskId, sequence ?? 0), enabled: isAsked && sequence !== null });
  return { query, load: () => setAsked(true) };
}

function eventQuery(taskId: string, sequence: number) {
  return queryOptions({
    queryKey: ["event", taskId, sequence],
    queryFn: () =>
      data(
        api.GET("/api/v1/tasks/{taskId}/events/{sequence}", {
          params: { path: { taskId, sequence: String(sequence) } },
        }),
      ),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

function Load(props: { whole: Whole }) {
  return (
    <div className="mt-1">
      <Button size="small" disabled={props.whole.query.isFetching} onClick={props.whole.load}>
        {words.whole}
      </Button>
      <ErrorNote error={props.whole.query.error} />
    </div>
  );
}

/** The text that the agent is writing now. */
export function LiveRow(props: { store: LogStore; task: Task; stream: StreamState | "idle" }) {
  const live = useLiveText(props.store);
  if (live !== null) {
    return (
      <div className="flex gap-2.5 px-4 py-2">
        <Bot aria-hidden size={16} className="mt-0.5 shrink-0 text-blue" />
        <div className="min-w-0 flex-1">
          <LiveMarkdown text={live.text} />
          <span aria-hidden className="pulse-slow ml-0.5 inline-block h-4 w-1.5 bg-blue align-text-bottom" />
        </div>
      </div>
    );
  }
  const isWorking = props.task.status === "running" && props.stream === "live";
  return <div className="h-8 px-4 text-[13px] text-soft">{isWorking ? `${words.following}…` : ""}</div>;
}
