import { useQuery } from "@tanstack/react-query";
import { type FormEvent, type KeyboardEvent, useEffect, useRef } from "react";
import { ApiError, api, data } from "@/api/client";
import { accountQuery } from "@/api/queries";
import type { Agent, AgentVersion } from "@/api/types";
import { Name } from "@/content/Text";
import { visible } from "@/content/text";
import { faultAt } from "@/execution/policy";
import { money } from "@/parts/format";
import { ErrorNote } from "@/parts/States";
import { useDroppedFiles } from "@/upload/drop";
import { UploadList } from "@/upload/UploadList";
import { Button } from "@/widgets/Button";
import { SelectField, TextArea } from "@/widgets/Fields";
import type { Draft } from "./draft";
import { Options } from "./Options";
import { Repositories } from "./Repositories";
import { FormsPanel, TrialPanel } from "./Trial";
import { faultsOf, type Trial, useTrial } from "./trial";
import { useDraft } from "./useDraft";
import { words } from "./words";

export function Form(props: { agents: Agent[]; name: string; initial: Draft }) {
  const state = useDraft(props.name, props.initial);
  const { draft, request, change, queue, dispatch } = state;
  const trial = useTrial(draft.agentId, request.body, request.faults.length === 0);
  const { fields, general } = faultsOf(trial.data, [trial.error, dispatch.error]);
  const faults = [...request.faults, ...fields];
  const form = useRef<HTMLFormElement>(null);
  const isOver = useDroppedFiles((files) => queue.add(files));
  useEffect(() => {
    if (dispatch.isError) form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [dispatch.isError]);
  const canSend = draft.instructions.trim() !== "" && request.faults.length === 0 && !dispatch.isPending;
  const send = (event: FormEvent) => {
    event.preventDefault();
    if (canSend && !state.isWaiting) state.submit();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) form.current?.requestSubmit();
  };
  const agent = props.agents.find((each) => each.id === draft.agentId);
  const versions = useVersions(draft.agentId);
  const version = versions.find(({ id }) => id === draft.versionId) ?? agent?.currentVersion;
  return (
    <div className="grid grid-cols-1 items-start gap-5 lg:grid-cols-[minmax(0,1fr)_22rem]">
      <form ref={form} onSubmit={send} onKeyDown={onKey} className="space-y-4">
        <AgentFields agents={props.agents} draft={draft} onChange={change} />
        <TextArea
          label={words.instructions}
          hint={words.instructionsHint}
          rows={10}
          required
          autoFocus
          value={draft.instructions}
          error={faultAt(faults, "instructions")}
          onChange={(event) => change({ instructions: event.target.value })}
        />
        <UploadList
          queue={queue}
          label={words.files}
          hint={words.filesHint}
          hasFolder
          error={faultAt(faults, "inputFileIds", "inputFiles")}
        />
        <Repositories
          repositories={draft.repositories}
          onChange={(repositories) => change({ repositories })}
          faults={faults}
        />
        <Options draft={draft} onChange={change} faults={faults} version={version} />
        <Refusal error={dispatch.error} trial={trial.data} onRenew={state.renewKey} />
        <div className="flex flex-wrap items-center gap-3">
          <Button kind="primary" type="submit" disabled={!canSend || state.isWaiting}>
            {dispatch.isPending ? words.dispatching : words.dispatch}
          </Button>
          {state.isWaiting && (
            <span role="status" className="flex items-center gap-2 text-soft">
              {words.waiting(state.pending)}
              <Button size="small" onClick={state.stopWaiting}>
                {words.stopWaiting}
              </Button>
            </span>
          )}
          {state.hasFailed && <span className="text-red">{words.failedUploads}</span>}
          {state.isSaved && !dispatch.isPending && !state.isWaiting && (
            <span className="flex items-center gap-1 text-[13px] text-soft">
              {words.saved}
              <Button size="small" kind="quiet" onClick={state.discard}>
                {words.discard}
              </Button>
            </span>
          )}
        </div>
      </form>
      <aside className="space-y-4 lg:sticky lg:top-4">
        <TrialPanel trial={trial.data} isStale={trial.isPlaceholderData} general={general} />
        <FormsPanel agentId={draft.agentId} body={request.body} />
      </aside>
      {isOver && (
        <p className="pointer-events-none fixed inset-3 z-50 flex items-center justify-center rounded-xl border-2 border-dashed border-accent bg-accent-soft/90 text-lg font-semibold">
          {words.dropHere}
        </p>
      )}
    </div>
  );
}

/** The newest versions of an agent. */
function useVersions(agentId: string): AgentVersion[] {
  const params = { path: { agentId }, query: { limit: 100, order: "desc" as const } };
  const query = useQuery({
    queryKey: ["agents", agentId, "versions"],
    queryFn: () => data(api.GET("/api/v1/agents/{agentId}/versions", { params })),
  });
  return query.data?.data ?? [];
}

function AgentFields(props: { agents: Agent[]; draft: Draft; onChange: (change: Partial<Draft>) => void }) {
  const { agents, draft, onChange } = props;
  const agent = agents.find((each) => each.id === draft.agentId);
  const older = useVersions(draft.agentId).filter(({ id }) => id !== agent?.currentVersion.id);
  const isListed = draft.versionId === "" || older.some(({ id }) => id === draft.versionId);
  return (
    <div className="space-y-1">
      <div className="grid gap-3 sm:grid-cols-[minmax(0,1fr)_14rem]">
        <SelectField
          label={words.agent}
          value={draft.agentId}
          onChange={(event) => onChange({ agentId: event.target.value, versionId: "" })}
        >
          {agents.map((each) => (
            <option key={each.id} value={each.id}>
              {visible(each.name)} · v{each.currentVersion.number}
              {each.isStandard ? ` · ${words.standard}` : ""}
            </option>
          ))}
        </SelectField>
        {agent && (
          <SelectField
            label={words.version}
            value={isListed ? draft.versionId : ""}
            onChange={(event) => onChange({ versionId: event.target.value })}
          >
            <option value="">{words.current(agent.currentVersion.number)}</option>
            {older.map(({ id, number }) => (
              <option key={id} value={id}>
                {words.older(number)}
              </option>
            ))}
          </SelectField>
        )}
      </div>
      {agent?.description && (
        <p className="line-clamp-2 text-[13px] text-soft">
          <Name text={agent.description} />
        </p>
      )}
    </div>
  );
}

/** Why the task was not dispatched, where that is not about a field. */
function Refusal(props: { error: unknown; trial: Trial | undefined; onRenew: () => void }) {
  const { error, trial } = props;
  const account = useQuery(accountQuery).data;
  const status = error instanceof ApiError ? error.status : null;
  const isPoor = status === 402 || trial?.problems.some(({ code }) => code === "insufficient_balance");
  if (isPoor) {
    const balance = trial ? trial.balanceAfterUsd + trial.holdUsd : (account?.creditBalance ?? 0);
    return (
      <div role="alert" className="rounded-md bg-red-soft px-3 py-2 text-red">
        <p className="font-medium">{words.noMoney}</p>
        <p>{words.noMoneyText(money(balance), money(trial?.holdUsd ?? 0))}</p>
      </div>
    );
  }
  return (
    <>
      <ErrorNote error={error} />
      {status === 409 && (
        <p className="flex flex-wrap items-center gap-2">
          {words.conflict}
          <Button size="small" onClick={props.onRenew}>
            {words.asNew}
          </Button>
        </p>
      )}
    </>
  );
}
