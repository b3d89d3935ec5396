import { useQuery } from "@tanstack/react-query";
import { api, data } from "@/api/client";
import { Name } from "@/content/Text";
import { Copyable } from "@/parts/Copyable";
import { Page, Panel } from "@/parts/Page";
import { Empty, Loaded } from "@/parts/States";
import { Time } from "@/parts/Time";
import { words } from "./words";

const ROW = "flex flex-wrap items-center gap-x-4 gap-y-1 border-t border-line px-4 py-2 first:border-0";

export function Keys() {
  const keys = useQuery({
    queryKey: ["api-keys"],
    queryFn: () => data(api.GET("/api/v1/api-keys", { params: { query: { limit: 100 } } })),
  });
  const providers = useQuery({
    queryKey: ["provider-keys"],
    queryFn: () => data(api.GET("/api/v1/provider-keys", { params: { query: { limit: 100 } } })),
  });
  const sessions = useQuery({
    queryKey: ["sessions"],
    queryFn: () => data(api.GET("/api/v1/sessions", { params: { query: { limit: 100 } } })),
  });
  return (
    <Page title={words.title}>
      <div className="space-y-4">
        <Panel title={words.apiKeys}>
          <Loaded query={keys} lines={2}>
            {(page) => (
              <ul>
                {page.data.map((key) => (
                  <li key={key.id} className={ROW}>
                    <Name text={key.name} className="min-w-32 flex-1 font-medium" />
                    <Copyable text={key.id} />
                    <span className="text-soft">
                      {words.made} <Time at={key.createdAt} />
                    </span>
                    <span className="text-soft">
                      {key.lastUsedAt ? <Time at={key.lastUsedAt} /> : words.unused}
                    </span>
                  </li>
                ))}
              </ul>
            )}
          </Loaded>
        </Panel>
        <Panel title={words.providerKeys}>
          <Loaded query={providers} lines={2}>
            {(page) =>
              page.data.length === 0 ? (
                <Empty title={words.noProviderKeys} />
              ) : (
                <ul>
                  {page.data.map((key) => (
                    <li key={key.provider} className={ROW}>
                      <Name text={key.provider} className="min-w-32 flex-1 font-medium" />
                      <span className="font-mono text-soft">…{key.last4}</span>
                      <Time at={key.createdAt} className="text-soft" />
                    </li>
                  ))}
                </ul>
              )
            }
          </Loaded>
        </Panel>
        <Panel title={words.sessions}>
          <Loaded query={sessions} lines={2}>
            {(page) => (
              <ul>
                {page.data.map((session) => (
                  <li key={session.id} className={ROW}>
                    <Name text={session.userAgent} className="min-w-32 flex-1" />
                    {session.isCurrent && <span className="text-green">{words.thisBrowser}</span>}
                    <Time at={session.lastSeenAt} className="text-soft" />
                  </li>
                ))}
              </ul>
            )}
          </Loaded>
        </Panel>
      </div>
    </Page>
  );
}
