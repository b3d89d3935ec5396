/** A conversation: what was said, what the agent did in between, and the next message. */
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { taskQuery } from "@/api/queries";
import { isFinal, type Task } from "@/api/types";
import { useRunLog } from "@/log/hooks";
import { useTitle } from "@/parts/Page";
import { Loaded, Skeleton } from "@/parts/States";
import { useMayWrite } from "@/parts/session";
import { Composer } from "./Composer";
import { Header } from "./Header";
import { Messages } from "./Messages";
import { words } from "./words";

const route = getRouteApi("/shell/conversations/$taskId");
const REFRESH_MS = 5000; // what it costs grows without an event

export function Conversation() {
  const { taskId } = route.useParams();
  const query = useQuery({
    ...taskQuery(taskId),
    refetchInterval: ({ state }) => (state.data?.status === "running" ? REFRESH_MS : false),
  });
  return <Loaded query={query}>{(task) => <Shown key={task.id} task={task} />}</Loaded>;
}

function Shown(props: { task: Task }) {
  const { task } = props;
  const mayWrite = useMayWrite();
  useTitle(task.title ?? words.untitled);
  const log = useRunLog(task.id, null);
  return (
    <div className="flex h-full min-h-0 flex-col">
      <Header task={task} />
      <div className="min-h-0 flex-1">{log === null ? <Skeleton /> : <Messages log={log} task={task} />}</div>
      {isFinal(task.status) ? (
        <p className="border-t border-line px-4 py-3 text-center text-soft">{words.ended}</p>
      ) : (
        mayWrite && log !== null && <Composer task={task} log={log} />
      )}
    </div>
  );
}
