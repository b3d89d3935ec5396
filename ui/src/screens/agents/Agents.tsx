import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { agentsQuery } from "@/api/queries";
import { Name } from "@/content/Text";
import { Page } from "@/parts/Page";
import { Loaded } from "@/parts/States";
import { words } from "./words";

export function Agents() {
  const query = useQuery(agentsQuery);
  return (
    <Page title={words.title}>
      <Loaded query={query}>
        {(page) => (
          <ul className="grid gap-3 sm:grid-cols-2 lg:grid-cols-3">
            {page.data.map((agent) => (
              <li
                key={agent.id}
                className="relative space-y-1 rounded-lg border border-line bg-panel p-4 hover:bg-sunk"
              >
                <Link
                  to="/agents/$agentId"
                  params={{ agentId: agent.id }}
                  data-row
                  className="font-semibold after:absolute after:inset-0"
                >
                  <Name text={agent.name} />
                </Link>
                <p className="line-clamp-3 text-soft">
                  <Name text={agent.description} />
                </p>
                <p className="text-[13px] text-soft">
                  v{agent.currentVersion.number} · {agent.currentVersion.defaults.model}
                  {agent.isStandard ? ` · ${words.standard}` : ""}
                  {agent.archivedAt ? ` · ${words.archived}` : ""}
                </p>
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Page>
  );
}
