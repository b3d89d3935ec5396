import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link, useBlocker, useNavigate } from "@tanstack/react-router";
import { Archive, Copy, Play } from "lucide-react";
import { useEffect, useState } from "react";
import { api, data } from "@/api/client";
import type { Agent } from "@/api/types";
import { visible } from "@/content/text";
import { CopyAs } from "@/parts/CopyAs";
import { Copyable } from "@/parts/Copyable";
import { Page } from "@/parts/Page";
import { ErrorNote, Loaded, NoRights } from "@/parts/States";
import { useMayWrite } from "@/parts/session";
import { curl, python } from "@/parts/snippets";
import { Button, buttonLook } from "@/widgets/Button";
import { Confirm } from "@/widgets/Dialogs";
import { Tabs } from "@/widgets/Tabs";
import { words as shared } from "@/words";
import { Editor } from "./Editor";
import { formOf } from "./form";
import { agentQuery, filesQuery } from "./queries";
import { Runs } from "./Runs";
import { TABS } from "./search";
import { type Files, useEditor } from "./useEditor";
import { Versions } from "./Versions";
import { words } from "./words";

const route = getRouteApi("/shell/agents/$agentId");
const NO_FILES: Files = { references: [], skills: [] };

export function AgentPage() {
  const { agentId } = route.useParams();
  const { from } = route.useSearch();
  const mayWrite = useMayWrite();
  if (agentId !== "new") return <Existing key={agentId} agentId={agentId} />;
  if (!mayWrite) return <NoRights>{shared.noRights}</NoRights>;
  return from ? <CopyOf from={from} /> : <NewAgent source={null} files={NO_FILES} />;
}

function Existing(props: { agentId: string }) {
  const query = useQuery(agentQuery(props.agentId));
  return (
    <Loaded query={query}>
      {(agent) => (
        <WithFiles agent={agent}>
          {(files, isIncomplete) => <Detail agent={agent} files={files} isIncomplete={isIncomplete} />}
        </WithFiles>
      )}
    </Loaded>
  );
}

function CopyOf(props: { from: string }) {
  const query = useQuery(agentQuery(props.from));
  return (
    <Loaded query={query}>
      {(agent) => <WithFiles agent={agent}>{(files) => <NewAgent source={agent} files={files} />}</WithFiles>}
    </Loaded>
  );
}

/** The names of the files that the version had when the page was opened. */
function WithFiles(props: {
  agent: Agent;
  children: (files: Files, isIncomplete: boolean) => React.ReactNode;
}) {
  const [{ referenceFileIds, skills }] = useState(props.agent.currentVersion);
  const references = useQuery(filesQuery(referenceFileIds));
  const archives = useQuery(filesQuery(skills));
  return (
    <Loaded query={references}>
      {(first) => (
        <Loaded query={archives}>
          {(second) =>
            props.children(
              { references: first.files, skills: second.files },
              first.isIncomplete || second.isIncomplete,
            )
          }
        </Loaded>
      )}
    </Loaded>
  );
}

function NewAgent(props: { source: Agent | null; files: Files }) {
  const { source } = props;
  const initial = source && { ...formOf(source), name: words.copyOf(source.name) };
  const state = useEditor(null, props.files, initial);
  const navigate = useNavigate();
  const createdId = state.save.data?.id;
  const guard = useLeaveGuard(state.isDirty && createdId === undefined, state.form.name || words.newAgent);
  useEffect(() => {
    if (createdId === undefined) return;
    void navigate({ to: "/agents/$agentId", params: { agentId: createdId }, ignoreBlocker: true });
  }, [createdId, navigate]);
  return (
    <Page title={source ? words.copyOf(visible(source.name)) : words.newAgent} isWide>
      {guard}
      <Editor agent={null} state={state} isReadOnly={false} isIncomplete={false} />
    </Page>
  );
}

function Detail(props: { agent: Agent; files: Files; isIncomplete: boolean }) {
  const { agent } = props;
  const { tab } = route.useSearch();
  const navigate = route.useNavigate();
  const mayWrite = useMayWrite();
  const isReadOnly = agent.isStandard || !mayWrite;
  const state = useEditor(agent, props.files, null);
  const guard = useLeaveGuard(state.isDirty && !isReadOnly, visible(agent.name));
  return (
    <Page title={visible(agent.name)} isWide actions={<Actions agent={agent} />}>
      {guard}
      <div className="mb-3 flex flex-wrap items-center gap-x-3 gap-y-1 text-soft">
        <span>v{agent.currentVersion.number}</span>
        <Copyable text={agent.id} />
      </div>
      {agent.archivedAt && (
        <p role="status" className="mb-3 rounded-md bg-amber-soft px-3 py-2 text-amber">
          {words.archivedBanner}
        </p>
      )}
      {isReadOnly && (
        <p className="mb-3 rounded-md bg-sunk px-3 py-2">
          {agent.isStandard ? words.standardNote : words.viewerNote}
        </p>
      )}
      <Tabs
        value={tab ?? "editor"}
        onChange={(value) =>
          void navigate({ search: (old) => ({ ...old, tab: TABS.find((each) => each === value) }) })
        }
        tabs={[
          {
            value: "editor",
            label: words.tabs.editor,
            content: (
              <div className="pt-4">
                <Editor
                  agent={agent}
                  state={state}
                  isReadOnly={isReadOnly}
                  isIncomplete={props.isIncomplete}
                />
              </div>
            ),
          },
          {
            value: "versions",
            label: words.tabs.versions,
            content: (
              <div className="pt-4">
                <Versions agent={agent} />
              </div>
            ),
          },
          {
            value: "runs",
            label: words.tabs.runs,
            content: (
              <div className="pt-4">
                <Runs agent={agent} />
              </div>
            ),
          },
        ]}
      />
    </Page>
  );
}

/** Asks before a page with unsaved changes is left. */
function useLeaveGuard(isDirty: boolean, name: string): React.ReactNode {
  const blocker = useBlocker({
    shouldBlockFn: ({ current, next }) => isDirty && current.pathname !== next.pathname,
    enableBeforeUnload: () => isDirty,
    withResolver: true,
  });
  return (
    <Confirm
      isOpen={blocker.status === "blocked"}
      onClose={() => blocker.reset?.()}
      title={words.leaveTitle(name)}
      action={words.leave}
      onConfirm={() => blocker.proceed?.()}
    >
      {words.leaveText}
    </Confirm>
  );
}

function Actions(props: { agent: Agent }) {
  const { agent } = props;
  const mayWrite = useMayWrite();
  const [isAsking, setAsking] = useState(false);
  const queries = useQueryClient();
  const isArchived = agent.archivedAt !== null;
  const archive = useMutation({
    mutationFn: () => {
      const params = { path: { agentId: agent.id } };
      return isArchived
        ? data(api.POST("/api/v1/agents/{agentId}/unarchive", { params }))
        : data(api.POST("/api/v1/agents/{agentId}/archive", { params }));
    },
    onSuccess: async (changed) => {
      setAsking(false);
      queries.setQueryData(agentQuery(agent.id).queryKey, changed);
      await queries.invalidateQueries({ queryKey: ["agents"] });
    },
  });
  return (
    <>
      {mayWrite && !isArchived && (
        <Link to="/tasks/new" search={{ agent: agent.id }} className={buttonLook("primary")}>
          <Play aria-hidden size={14} /> {words.run}
        </Link>
      )}
      {mayWrite && (
        <Link
          to="/agents/$agentId"
          params={{ agentId: "new" }}
          search={{ from: agent.id }}
          className={buttonLook()}
        >
          <Copy aria-hidden size={14} /> {agent.isStandard ? words.copyToMine : words.copy}
        </Link>
      )}
      {mayWrite && !agent.isStandard && (
        <Button
          disabled={archive.isPending}
          onClick={() => (isArchived ? archive.mutate() : setAsking(true))}
        >
          <Archive aria-hidden size={14} /> {isArchived ? words.unarchive : words.archive}
        </Button>
      )}
      <CopyAs
        forms={{
          id: agent.id,
          page: `/agents/${agent.id}`,
          json: agent,
          curl: curl("GET", `/api/v1/agents/${agent.id}`),
          python: python(`agent = client.agents.get(${JSON.stringify(agent.id)})`, "print(agent.name)"),
          cli: `agentcontainer agents show ${agent.id}`,
        }}
      />
      {isArchived && <ErrorNote error={archive.error} />}
      <Confirm
        isOpen={isAsking}
        onClose={() => setAsking(false)}
        title={words.archiveTitle(visible(agent.name))}
        action={words.archive}
        isBusy={archive.isPending}
        onConfirm={() => archive.mutate()}
      >
        <p>{words.archiveText}</p>
        <ErrorNote error={archive.error} />
      </Confirm>
    </>
  );
}
