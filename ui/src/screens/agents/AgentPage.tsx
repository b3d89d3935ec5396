import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { api, data } from "@/api/client";
import { JsonTree } from "@/content/JsonTree";
import { Name, Output } from "@/content/Text";
import { Copyable } from "@/parts/Copyable";
import { Page, Panel } from "@/parts/Page";
import { Loaded } from "@/parts/States";
import { Time } from "@/parts/Time";
import { words } from "./words";

const route = getRouteApi("/shell/agents/$agentId");

export function AgentPage() {
  const { agentId } = route.useParams();
  const agent = useQuery({
    queryKey: ["agents", agentId],
    queryFn: () => data(api.GET("/api/v1/agents/{agentId}", { params: { path: { agentId } } })),
  });
  const versions = useQuery({
    queryKey: ["agents", agentId, "versions"],
    queryFn: () => data(api.GET("/api/v1/agents/{agentId}/versions", { params: { path: { agentId } } })),
  });
  return (
    <Loaded query={agent}>
      {(shown) => (
        <Page title={shown.name} actions={<Copyable text={shown.id} />}>
          <div className="grid items-start gap-4 lg:grid-cols-2">
            <Panel title={words.prompt}>
              <div className="p-4">
                {shown.currentVersion.basePrompt ? (
                  <Output text={shown.currentVersion.basePrompt} />
                ) : (
                  <p className="text-soft">{words.noPrompt}</p>
                )}
              </div>
            </Panel>
            <Panel title={words.defaults}>
              <div className="p-4">
                <JsonTree value={shown.currentVersion.defaults} />
              </div>
            </Panel>
            <Panel title={words.versions}>
              <Loaded query={versions} lines={2}>
                {(page) => (
                  <ul>
                    {page.data.map((version) => (
                      <li
                        key={version.id}
                        className="flex gap-3 border-t border-line px-4 py-2 first:border-0"
                      >
                        <span className="font-medium">v{version.number}</span>
                        <Name text={version.defaults.model} className="flex-1 text-soft" />
                        {version.id === shown.currentVersion.id && (
                          <span className="text-green">{words.current}</span>
                        )}
                        <Time at={version.createdAt} className="text-soft" />
                      </li>
                    ))}
                  </ul>
                )}
              </Loaded>
            </Panel>
          </div>
        </Page>
      )}
    </Loaded>
  );
}
