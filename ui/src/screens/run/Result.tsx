import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { FileText } from "lucide-react";
import { outputsQuery } from "@/api/queries";
import { isFinal, type OutputFile, type Task } from "@/api/types";
import { Download } from "@/content/Download";
import { Markdown } from "@/content/Markdown";
import { Preview } from "@/content/Preview";
import { Name } from "@/content/Text";
import { Size } from "@/parts/Amounts";
import { Copyable } from "@/parts/Copyable";
import { Panel } from "@/parts/Page";
import { Loaded } from "@/parts/States";
import { Time } from "@/parts/Time";
import { Dialog } from "@/widgets/Dialogs";
import { errorMeanings } from "@/words";
import { RaiseBudget } from "./RaiseBudget";
import { words } from "./words";

const route = getRouteApi("/shell/tasks/$taskId");

/** Why it waits, what it reported, or why it failed. */
export function Result(props: { task: Task }) {
  const { task } = props;
  return (
    <Panel title={words.result}>
      <div className="space-y-3 p-4">
        {task.status === "pending" && <Queue task={task} />}
        {task.status === "hibernating" && <Asleep task={task} />}
        {task.status === "failed" && <Failure task={task} />}
        {task.result !== null ? (
          <Markdown text={task.result} />
        ) : (
          task.status !== "failed" && <p className="text-soft">{words.noResult}</p>
        )}
      </div>
    </Panel>
  );
}

function Queue(props: { task: Task }) {
  const { queue } = props.task;
  if (queue === null) return null;
  return (
    <p>
      {words.waiting}: {queue.message} ({words.since} <Time at={queue.since} />)
    </p>
  );
}

function Asleep(props: { task: Task }) {
  const { task } = props;
  return (
    <div className="space-y-1">
      {task.hibernationReason === "budget" && task.budget && (
        <>
          <p>{words.budgetReached}</p>
          <RaiseBudget task={task} budget={task.budget} />
        </>
      )}
      {task.hibernateUntilAt && (
        <p>
          {words.asleepUntil} <Time at={task.hibernateUntilAt} />.
        </p>
      )}
      {task.wakeUrl && (
        <p className="flex flex-wrap items-center gap-1 text-soft">
          {words.wakeLink}: <Copyable text={task.wakeUrl} />
        </p>
      )}
    </div>
  );
}

function Failure(props: { task: Task }) {
  const { task } = props;
  const meaning = task.errorCode ? errorMeanings[task.errorCode] : null;
  return (
    <div role="alert" className="space-y-2 rounded-md bg-red-soft p-3">
      <p className="font-medium text-red">
        {meaning?.means ?? task.errorCode} <code className="font-normal">{task.errorCode}</code>
      </p>
      {task.error && <Name text={task.error} className="block whitespace-pre-wrap" />}
      {meaning && (
        <p>
          {words.whatNext}: {meaning.next} {meaning.isFree ? words.notCharged : words.charged}
        </p>
      )}
      {task.errorCode === "provider_key_missing" && (
        <Link to="/keys" className="text-accent underline">
          {words.storeKey}
        </Link>
      )}
    </div>
  );
}

export function Outputs(props: { task: Task }) {
  const { task } = props;
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery({
    ...outputsQuery(task.id),
    // The partial outputs of a task that was stopped are stored shortly after its end.
    refetchInterval: ({ state }) =>
      isFinal(task.status) && state.data?.data.length === 0 && state.dataUpdateCount < 6 ? 3000 : false,
  });
  const open = (file: string | undefined) =>
    void navigate({ search: (old) => ({ ...old, file }), hash: true });
  return (
    <Panel title={words.outputs}>
      <Loaded query={query} lines={2}>
        {(page) => {
          const chosen = page.data.find((file) => file.id === search.file);
          return (
            <>
              {page.data.length === 0 && <p className="p-4 text-soft">{words.noOutputs}</p>}
              {page.data.some((file) => file.partial) && (
                <p className="px-4 pt-3 text-soft">{words.partialNote}</p>
              )}
              <ul>
                {page.data.map((file) => (
                  <OutputRow key={file.id} file={file} onOpen={() => open(file.id)} />
                ))}
              </ul>
              {chosen && <FileSheet file={chosen} onClose={() => open(undefined)} />}
            </>
          );
        }}
      </Loaded>
    </Panel>
  );
}

function OutputRow(props: { file: OutputFile; onOpen: () => void }) {
  const { file } = props;
  return (
    <li className="flex items-center gap-2 border-t border-line px-4 py-2 first:border-0">
      <FileText aria-hidden size={15} className="shrink-0 text-soft" />
      <button type="button" onClick={props.onOpen} className="min-w-0 flex-1 text-left hover:underline">
        <Name text={file.path ?? file.filename} className="block truncate" />
        <span className="text-[12px] text-soft">
          <Size bytes={file.sizeBytes} />
          {file.outputName ? ` · ${file.outputName}` : ""}
          {file.partial ? ` · ${words.partial}` : ""}
        </span>
      </button>
      <Download fileId={file.id} filename={file.filename} />
    </li>
  );
}

export function FileSheet(props: { file: OutputFile; onClose: () => void }) {
  const { file } = props;
  return (
    <Dialog side isOpen onClose={props.onClose} title={<Name text={file.filename} />}>
      <div className="space-y-3">
        <div className="flex items-center gap-3 text-soft">
          <Size bytes={file.sizeBytes} /> <Name text={file.contentType} />
          <span className="flex-1" />
          <Download fileId={file.id} filename={file.filename} />
        </div>
        <Preview
          fileId={file.id}
          filename={file.filename}
          contentType={file.contentType}
          sizeBytes={file.sizeBytes}
        />
      </div>
    </Dialog>
  );
}
