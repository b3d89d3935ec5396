import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, data } from "@/api/client";
import { agentsQuery, taskQuery } from "@/api/queries";
import type { Agent, Task } from "@/api/types";
import { visible } from "@/content/text";
import { Page } from "@/parts/Page";
import { Empty, Loaded, NoRights } from "@/parts/States";
import { useMayWrite, useSession } from "@/parts/session";
import { buttonLook } from "@/widgets/Button";
import { words as shared } from "@/words";
import { type Draft, draftOf, newDraft } from "./draft";
import { Form } from "./Form";
import { draftName, loadDraft } from "./storage";
import { words } from "./words";

const route = getRouteApi("/shell/tasks/new");

export function NewTask() {
  const { from } = route.useSearch();
  if (!useMayWrite()) return <NoRights>{shared.noRights}</NoRights>;
  return from === undefined ? <Fresh /> : <Again key={from} from={from} />;
}

function Fresh() {
  const { agent, version } = route.useSearch();
  const name = draftName(useSession().account.id, undefined);
  const [stored] = useState(() => loadDraft(name));
  const agents = useQuery(agentsQuery);
  return (
    <Page title={words.title}>
      <Loaded query={agents}>
        {(page) => {
          const initial = stored ?? newDraft("");
          const chosen = agent ? { agentId: agent, versionId: version ?? "" } : {};
          return <Body agents={page.data} name={name} initial={{ ...initial, ...chosen }} />;
        }}
      </Loaded>
    </Page>
  );
}

function Again(props: { from: string }) {
  const name = draftName(useSession().account.id, props.from);
  const [stored] = useState(() => loadDraft(name));
  const agents = useQuery(agentsQuery);
  const task = useQuery({ ...taskQuery(props.from), staleTime: Number.POSITIVE_INFINITY });
  const source = useQuery({
    queryKey: ["source", props.from],
    enabled: task.data !== undefined && stored === null,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () => sourceOf(task.data as Task),
  });
  const title = task.data ? words.again(visible(task.data.title ?? task.data.id)) : words.title;
  return (
    <Page title={title}>
      <Loaded query={agents}>
        {(page) =>
          stored !== null ? (
            <Body agents={page.data} name={name} initial={stored} />
          ) : task.isError ? (
            <Loaded query={task}>{() => null}</Loaded>
          ) : (
            <Loaded query={source}>
              {({ draft, isIncomplete }) => (
                <Body
                  agents={page.data}
                  name={name}
                  initial={draft}
                  note={isIncomplete ? words.filesMissing : undefined}
                />
              )}
            </Loaded>
          )
        }
      </Loaded>
    </Page>
  );
}

/** The draft of a task that is run again, with the input files that are still there. */
async function sourceOf(task: Task): Promise<{ draft: Draft; isIncomplete: boolean }> {
  const params = { path: { agentId: task.agentId, versionId: task.agentVersionId } };
  const skills = task.skills.length
    ? (await data(api.GET("/api/v1/agents/{agentId}/versions/{versionId}", { params }))).skills
    : [];
  const isIncomplete = task.inputFiles.some(({ isDeleted }) => isDeleted);
  return { draft: draftOf(task, skills), isIncomplete };
}

function Body(props: { agents: Agent[]; name: string; initial: Draft; note?: string }) {
  const usable = props.agents.filter((agent) => agent.archivedAt === null);
  if (usable.length === 0) {
    return (
      <Empty title={words.noAgents}>
        <p>{words.noAgentsText}</p>
        <Link to="/agents" className={buttonLook("primary")}>
          {words.toAgents}
        </Link>
      </Empty>
    );
  }
  const isKnown = usable.some((agent) => agent.id === props.initial.agentId);
  const choice = isKnown ? {} : { agentId: usable[0]?.id ?? "", versionId: "" };
  return (
    <>
      {props.note && (
        <p role="status" className="mb-3 rounded-md bg-amber-soft px-3 py-2 text-amber">
          {props.note}
        </p>
      )}
      <Form agents={usable} name={props.name} initial={{ ...props.initial, ...choice }} />
    </>
  );
}
