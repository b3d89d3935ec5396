/** The page of a task: what it does now, what it said and did, what came of it. */
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate, useRouterState } from "@tanstack/react-router";
import { taskQuery } from "@/api/queries";
import { isFinal, type Task } from "@/api/types";
import { useRunLog } from "@/log/hooks";
import { useTitle } from "@/parts/Page";
import { Loaded, Skeleton } from "@/parts/States";
import { useShortcut } from "@/shell/keys";
import { neighbour } from "@/shell/trail";
import { Details, Inputs, Timing } from "./Details";
import { Header } from "./Header";
import { Outputs, Result } from "./Result";
import { TABS } from "./search";
import { Timeline } from "./Timeline";
import { words } from "./words";

const route = getRouteApi("/shell/tasks/$taskId");
const REFRESH_MS = 5000; // what a running task costs grows without an event

export function Run() {
  const { taskId } = route.useParams();
  const query = useQuery({
    ...taskQuery(taskId),
    refetchInterval: ({ state }) => (state.data && !isFinal(state.data.status) ? REFRESH_MS : false),
  });
  return <Loaded query={query}>{(task) => <RunOf key={task.id} task={task} />}</Loaded>;
}

function RunOf(props: { task: Task }) {
  const { task } = props;
  useTitle(task.title ?? words.untitled);
  const navigate = useNavigate();
  const { tab = isFinal(task.status) ? "result" : "timeline" } = route.useSearch();
  const chosen = /^e(\d{1,9})$/.exec(useRouterState({ select: (state) => state.location.hash }))?.[1];
  const log = useRunLog(task.id, chosen ? Number(chosen) : null);
  const goTo = (step: 1 | -1) => {
    const next = neighbour(task.id, step);
    if (next) void navigate({ to: "/tasks/$taskId", params: { taskId: next } });
  };
  useShortcut("[", () => goTo(-1));
  useShortcut("]", () => goTo(1));
  // One tree for all widths: narrow windows hide the parts whose tab is not chosen.
  const narrow = (name: (typeof TABS)[number]) => (tab === name ? "" : "max-lg:hidden");
  return (
    <div className="flex h-full min-h-0 flex-col">
      <Header task={task} log={log} />
      {task.mode === "conversation" && (
        <p className="border-b border-line bg-accent-soft px-4 py-1.5">
          {words.isConversation}{" "}
          <Link to="/conversations/$taskId" params={{ taskId: task.id }} className="text-accent underline">
            {words.openConversation}
          </Link>
        </p>
      )}
      <PartsBar tab={tab} />
      <div className="flex min-h-0 flex-1">
        <section aria-label={words.timeline} className={`min-w-0 flex-1 ${narrow("timeline")}`}>
          {log === null ? (
            <Skeleton />
          ) : (
            <Timeline log={log} task={task} chosen={chosen ? `e${chosen}` : null} />
          )}
        </section>
        <aside
          aria-label={words.details}
          className={`w-96 shrink-0 space-y-4 overflow-y-auto border-l border-line p-4 max-lg:w-full max-lg:border-0 ${tab === "timeline" ? "max-lg:hidden" : ""}`}
        >
          <div className={`space-y-4 ${narrow("result")}`}>
            <Result task={task} />
            <Outputs task={task} />
          </div>
          <div className={`space-y-4 ${narrow("details")}`}>
            <Inputs task={task} />
            <Timing task={task} log={log} />
            <Details task={task} />
          </div>
        </aside>
      </div>
    </div>
  );
}

function PartsBar(props: { tab: (typeof TABS)[number] }) {
  const navigate = route.useNavigate();
  return (
    <nav aria-label={words.parts} className="flex border-b border-line bg-panel lg:hidden">
      {TABS.map((name) => (
        <button
          key={name}
          type="button"
          aria-pressed={props.tab === name}
          onClick={() => void navigate({ search: (old) => ({ ...old, tab: name }), replace: true })}
          className="flex-1 border-b-2 border-transparent py-2 font-medium text-soft aria-pressed:border-accent aria-pressed:text-ink"
        >
          {words[name]}
        </button>
      ))}
    </nav>
  );
}
