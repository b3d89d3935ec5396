import { useMemo } from "react";
import type { Task } from "@/api/types";
import { Download } from "@/content/Download";
import { JsonTree } from "@/content/JsonTree";
import { Markdown } from "@/content/Markdown";
import { Name } from "@/content/Text";
import { useVersion } from "@/log/hooks";
import type { RunLog } from "@/log/run";
import { Money, Size } from "@/parts/Amounts";
import { Copyable } from "@/parts/Copyable";
import { duration } from "@/parts/format";
import { Facts, Panel } from "@/parts/Page";
import { Elapsed, Time } from "@/parts/Time";
import { phasesOf } from "@/timeline/phases";
import { words } from "./words";

export function Inputs(props: { task: Task }) {
  const { task } = props;
  return (
    <Panel title={words.inputs}>
      <div className="space-y-3 p-4">
        <details>
          <summary className="font-medium">{words.instructions}</summary>
          <div className="mt-2 max-h-96 overflow-y-auto">
            <Markdown text={task.instructions} />
          </div>
        </details>
        {task.inputFiles.map((file) => (
          <InputFile key={file.id} file={file} />
        ))}
        {task.inputRepositories.map((repository) => (
          <p key={`${repository.url} ${repository.path}`}>
            <Name text={repository.url} />{" "}
            {repository.ref && <Name text={repository.ref} className="text-soft" />}
          </p>
        ))}
      </div>
    </Panel>
  );
}

function InputFile(props: { file: Task["inputFiles"][number] }) {
  const { file } = props;
  return (
    <div className="flex items-center gap-2">
      <Name text={file.filename} className="min-w-0 flex-1 truncate" />
      <span className="text-soft">
        <Size bytes={file.sizeBytes} />
      </span>
      {file.isDeleted ? (
        <span className="text-soft">{words.deleted}</span>
      ) : (
        <Download fileId={file.id} filename={file.filename} />
      )}
    </div>
  );
}

/** How long the task waited and ran. */
export function Timing(props: { task: Task; log: RunLog | null }) {
  const { task } = props;
  const end = task.startedAt ?? task.completedAt;
  return (
    <Panel title={words.timing}>
      <div className="space-y-3 p-4">
        {props.log && <Phases log={props.log} />}
        <Facts
          of={[
            [words.facts.dispatched, <Time key="at" at={task.createdAt} />],
            [words.facts.queued, <Elapsed key="queue" from={task.createdAt} to={end} />],
            ...(task.startedAt
              ? ([
                  [words.facts.sinceStart, <Elapsed key="run" from={task.startedAt} to={task.completedAt} />],
                ] as [string, React.ReactNode][])
              : []),
            [words.facts.container, duration(task.containerMinutes * 60_000)],
            [words.modelCost, <Money key="model" usd={task.modelCostUsd} />],
          ]}
        />
      </div>
    </Panel>
  );
}

const MAX_ROWS = 20_000; // of which the phases are found again at each change
const PHASE_LOOK = {
  queued: "bg-grey",
  starting: "bg-amber",
  running: "bg-blue",
  asleep: "bg-indigo",
  waiting: "bg-violet",
};

/** Where the time went, attempt by attempt. Only if all of the log is loaded. */
function Phases(props: { log: RunLog }) {
  const { store } = props.log;
  const version = useVersion(store);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the order grows in place, and says so by its version
  const phases = useMemo(() => {
    if (store.first !== 1 || store.order.length > MAX_ROWS) return [];
    const rows = store.order.map((id) => store.row(id));
    return phasesOf(
      rows.flatMap((row) => (row && "event" in row ? [row.event] : [])),
      Date.now(),
    );
  }, [version, store]);
  const total = phases.reduce((sum, phase) => sum + phase.to - phase.from, 0);
  if (total === 0) return null;
  return (
    <div>
      <div aria-hidden className="flex h-2.5 gap-px overflow-hidden rounded">
        {phases.map((phase) => (
          <span
            key={phase.from}
            className={PHASE_LOOK[phase.kind]}
            style={{ flexGrow: Math.max(phase.to - phase.from, total / 100) }}
          />
        ))}
      </div>
      <ul className="mt-1.5 flex flex-wrap gap-x-3 gap-y-0.5 text-[12px] text-soft">
        {phases.map((phase) => (
          <li key={phase.from} className="inline-flex items-center gap-1">
            <span aria-hidden className={`size-2 rounded-full ${PHASE_LOOK[phase.kind]}`} />
            {words.phases[phase.kind]} {duration(phase.to - phase.from)}
          </li>
        ))}
      </ul>
    </div>
  );
}

export function Details(props: { task: Task }) {
  const { task } = props;
  return (
    <Panel title={words.details}>
      <div className="space-y-3 p-4">
        <Facts
          of={[
            ["id", <Copyable key="id" text={task.id} />],
            [words.facts.version, <Copyable key="version" text={task.agentVersionId} />],
            [words.facts.provider, task.execution.provider],
            [words.facts.model, task.execution.model],
            [words.facts.region, task.runtimeRegion],
            [
              words.facts.image,
              <Name key="image" text={task.runtime.containerImage ?? words.facts.standardImage} />,
            ],
          ]}
        />
        <Json title={words.facts.overrides} value={task.overrides} />
        <Json title={words.facts.metadata} value={task.metadata} />
      </div>
    </Panel>
  );
}

function Json(props: { title: string; value: object }) {
  if (Object.keys(props.value).length === 0) return null;
  return (
    <div>
      <h3 className="font-medium">{props.title}</h3>
      <JsonTree value={props.value} />
    </div>
  );
}
