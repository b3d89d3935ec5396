import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useState } from "react";
import { agentsQuery } from "@/api/queries";
import type { Agent } from "@/api/types";
import { Code } from "@/content/Code";
import { Name } from "@/content/Text";
import { Page } from "@/parts/Page";
import { Empty, Loaded } from "@/parts/States";
import { useMayWrite } from "@/parts/session";
import { curl } from "@/parts/snippets";
import { buttonLook } from "@/widgets/Button";
import { TextField } from "@/widgets/Fields";
import { runsQuery } from "./queries";
import { words } from "./words";

const route = getRouteApi("/shell/agents");

export function Agents() {
  const query = useQuery(agentsQuery);
  // The field keeps its own state: what is typed must not wait for the URL.
  const [q, setQ] = useState(route.useSearch().q ?? "");
  const navigate = route.useNavigate();
  const mayWrite = useMayWrite();
  return (
    <Page
      title={words.title}
      actions={
        <>
          <TextField
            label={words.find}
            isLabelHidden
            type="search"
            placeholder={words.find}
            value={q}
            onChange={(event) => {
              setQ(event.target.value);
              void navigate({ search: event.target.value ? { q: event.target.value } : {}, replace: true });
            }}
          />
          {mayWrite && (
            <Link to="/agents/$agentId" params={{ agentId: "new" }} className={buttonLook("primary")}>
              <Plus aria-hidden size={15} /> {words.newAgent}
            </Link>
          )}
        </>
      }
    >
      <Loaded query={query}>{(page) => <Groups agents={page.data} q={q} />}</Loaded>
    </Page>
  );
}

function Groups(props: { agents: Agent[]; q: string }) {
  const matching = props.agents.filter(({ name }) => name.toLowerCase().includes(props.q.toLowerCase()));
  const archived = matching.filter(({ archivedAt }) => archivedAt !== null);
  const own = matching.filter(({ archivedAt, isStandard }) => archivedAt === null && !isStandard);
  const standard = matching.filter(({ archivedAt, isStandard }) => archivedAt === null && isStandard);
  if (matching.length === 0) return <Empty title={words.none} />;
  return (
    <div className="space-y-6">
      {own.length > 0 ? <Cards title={words.yours} agents={own} /> : props.q === "" && <NoneOfOwn />}
      {standard.length > 0 && <Cards title={words.standardTitle} agents={standard} />}
      {archived.length > 0 && (
        <details open={props.q !== "" || undefined}>
          <summary className="font-semibold">{words.archivedTitle(archived.length)}</summary>
          <div className="mt-2">
            <Cards agents={archived} />
          </div>
        </details>
      )}
    </div>
  );
}

function NoneOfOwn() {
  const mayWrite = useMayWrite();
  return (
    <Empty title={words.empty}>
      <p>{words.emptyText}</p>
      {mayWrite && (
        <Link to="/agents/$agentId" params={{ agentId: "new" }} className={buttonLook("primary")}>
          {words.newAgent}
        </Link>
      )}
      <div className="text-left">
        <Code
          language="bash"
          text={curl("POST", "/api/v1/agents", { name: "Auditor", basePrompt: "You check invoices." })}
        />
      </div>
    </Empty>
  );
}

function Cards(props: { title?: string; agents: Agent[] }) {
  return (
    <section>
      {props.title && <h2 className="mb-2 font-semibold">{props.title}</h2>}
      <ul className="grid grid-cols-1 gap-3 sm:grid-cols-2 lg:grid-cols-3">
        {props.agents.map((agent) => (
          <Card key={agent.id} agent={agent} />
        ))}
      </ul>
    </section>
  );
}

function Card(props: { agent: Agent }) {
  const { agent } = props;
  const all = useQuery(runsQuery).data;
  const runs = all?.get(agent.id) ?? { count: 0, failedShare: 0 };
  return (
    <li className="relative flex flex-col gap-1 rounded-lg border border-line bg-panel p-4 hover:bg-sunk">
      <Link
        to="/agents/$agentId"
        params={{ agentId: agent.id }}
        data-row
        className="font-semibold after:absolute after:inset-0"
      >
        <Name text={agent.name} />
      </Link>
      <p className="line-clamp-2 flex-1 text-soft">
        <Name text={agent.description} />
      </p>
      <p className="text-[13px] text-soft">
        v{agent.currentVersion.number} · <Name text={agent.currentVersion.defaults.model} />
        {agent.isStandard ? ` · ${words.standard}` : ""}
        {agent.archivedAt ? ` · ${words.archived}` : ""}
      </p>
      <p className="min-h-5 text-[13px] text-soft">
        {all !== undefined &&
          (runs.count === 0
            ? words.noRuns
            : words.runs7d(runs.count, `${Math.round(runs.failedShare * 100)} %`))}
      </p>
    </li>
  );
}
