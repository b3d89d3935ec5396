/** A card for each provider of the platform, and for each endpoint of the account's own. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useState } from "react";
import { api, data } from "@/api/client";
import { agentsQuery, capabilitiesQuery } from "@/api/queries";
import type { Agent, ProviderKey } from "@/api/types";
import { Name, Output } from "@/content/Text";
import { head, visible } from "@/content/text";
import { Panel } from "@/parts/Page";
import { ErrorNote, Loaded } from "@/parts/States";
import { useMayAdminister } from "@/parts/session";
import { Time } from "@/parts/Time";
import { Button } from "@/widgets/Button";
import { Confirm } from "@/widgets/Dialogs";
import { NEW_ENDPOINT, ProviderDialog } from "./ProviderDialog";
import { words } from "./words";

const route = getRouteApi("/shell/keys");
const OFFLINE = "offline";

export function ProviderKeys() {
  const mayAdminister = useMayAdminister();
  const navigate = route.useNavigate();
  const { provider } = route.useSearch();
  const capabilities = useQuery(capabilitiesQuery);
  const agents = useQuery(agentsQuery);
  const keys = useQuery({
    queryKey: ["provider-keys"],
    queryFn: () => data(api.GET("/api/v1/provider-keys", { params: { query: { limit: 100 } } })),
  });
  const platform = (capabilities.data?.providers ?? []).filter((name) => name !== OFFLINE);
  const open = (name: string | undefined) =>
    void navigate({ search: name ? { provider: name } : {}, replace: true, resetScroll: false });
  const canAdd = !capabilities.data?.switchedOff.includes("own_destinations");
  return (
    <Panel
      title={words.providerKeys}
      actions={
        mayAdminister &&
        canAdd && (
          <Button size="small" onClick={() => open(NEW_ENDPOINT)}>
            <Plus aria-hidden size={14} /> {words.addEndpoint}
          </Button>
        )
      }
    >
      <p className="px-4 py-2 text-soft">{words.providerText}</p>
      <Loaded query={keys} lines={3}>
        {(page) => {
          const stored = new Map<string, ProviderKey>(page.data.map((key) => [key.provider, key]));
          const names = [...platform, ...page.data.map((key) => key.provider)];
          return (
            <ul className="grid gap-3 p-4 pt-1 md:grid-cols-2 lg:grid-cols-3">
              {[...new Set(names)].map((name) => (
                <Card
                  key={name}
                  name={name}
                  stored={stored.get(name)}
                  agents={agents.data?.data.filter((agent) => usesProvider(agent, name)) ?? []}
                  mayAdminister={mayAdminister}
                  onSet={() => open(name)}
                />
              ))}
            </ul>
          );
        }}
      </Loaded>
      {provider && mayAdminister && keys.data && (
        <ProviderDialog
          name={provider}
          isPlatform={platform.includes(provider)}
          stored={keys.data.data.find((key) => key.provider === provider)}
          onClose={() => open(undefined)}
        />
      )}
    </Panel>
  );
}

function usesProvider(agent: Agent, provider: string): boolean {
  return agent.archivedAt === null && agent.currentVersion.defaults.provider === provider;
}

function Card(props: {
  name: string;
  stored: ProviderKey | undefined;
  agents: Agent[];
  mayAdminister: boolean;
  onSet: () => void;
}) {
  const { name, stored, agents, mayAdminister } = props;
  const [isRemoving, setRemoving] = useState(false);
  return (
    <li className="flex flex-col gap-2 rounded-lg border border-line p-3">
      <div className="flex flex-wrap items-baseline gap-x-2">
        <Name text={name} className="font-semibold" />
        {stored?.baseUrl && <span className="text-soft">{words.endpoint}</span>}
      </div>
      {stored?.baseUrl && (
        <Name text={stored.baseUrl} className="font-mono text-[12px] break-all text-soft" />
      )}
      <p>
        {stored === undefined ? (
          <span className="text-soft">{words.noKey}</span>
        ) : (
          <>
            {stored.last4 ? <span className="font-mono">…{stored.last4}</span> : words.stored}{" "}
            <Time at={stored.createdAt} className="text-soft" />
          </>
        )}
      </p>
      <NeededBy agents={agents} />
      {stored && mayAdminister && <Test name={name} />}
      {mayAdminister && (
        <div className="mt-auto flex flex-wrap gap-2 pt-1">
          <Button size="small" kind={stored ? "plain" : "primary"} onClick={props.onSet}>
            {stored ? words.replace : words.set}
            <span className="sr-only"> {name}</span>
          </Button>
          {stored && (
            <Button size="small" kind="danger" onClick={() => setRemoving(true)}>
              {words.remove}
              <span className="sr-only"> {name}</span>
            </Button>
          )}
        </div>
      )}
      <Remove name={name} agents={agents.length} isOpen={isRemoving} onClose={() => setRemoving(false)} />
    </li>
  );
}

function NeededBy(props: { agents: Agent[] }) {
  if (props.agents.length === 0) return <p className="text-[13px] text-soft">{words.notNeeded}</p>;
  const shown = props.agents.slice(0, 5);
  return (
    <p className="text-[13px] text-soft">
      {words.neededBy}{" "}
      {shown.map((agent, index) => (
        <span key={agent.id}>
          {index > 0 && ", "}
          <Link to="/agents/$agentId" params={{ agentId: agent.id }} className="text-accent underline">
            <Name text={agent.name} />
          </Link>
        </span>
      ))}
      {props.agents.length > shown.length && ` +${props.agents.length - shown.length}`}
    </p>
  );
}

/** Asks the provider with the stored key, and shows what it answers. */
function Test(props: { name: string }) {
  const test = useMutation({
    mutationFn: () =>
      data(
        api.POST("/api/v1/provider-keys/{provider}/test", {
          params: { path: { provider: props.name } },
          body: {},
        }),
      ),
  });
  return (
    <div className="space-y-1">
      <Button size="small" disabled={test.isPending} onClick={() => test.mutate()}>
        {test.isPending ? words.testing : words.test}
        <span className="sr-only"> {props.name}</span>
      </Button>
      <ErrorNote error={test.error} />
      {test.data && (
        <div role="status">
          <p className={test.data.isWorking ? "text-green" : "text-red"}>
            {test.data.isWorking
              ? words.works(test.data.durationMs)
              : visible(head(test.data.error ?? words.fails, 500))}
          </p>
          {!test.data.isWorking && test.data.answer && (
            <Output text={test.data.answer} className="mt-1 max-h-40 rounded bg-sunk p-2" />
          )}
        </div>
      )}
    </div>
  );
}

function Remove(props: { name: string; agents: number; isOpen: boolean; onClose: () => void }) {
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: () =>
      data(api.DELETE("/api/v1/provider-keys/{provider}", { params: { path: { provider: props.name } } })),
    onSuccess: () => {
      props.onClose();
      void queries.invalidateQueries({ queryKey: ["provider-keys"] });
    },
  });
  return (
    <Confirm
      isOpen={props.isOpen}
      onClose={props.onClose}
      title={words.removeTitle(props.name)}
      action={words.remove}
      isBusy={remove.isPending}
      onConfirm={() => remove.mutate()}
    >
      <p>{words.removeText(props.agents)}</p>
      <ErrorNote error={remove.error} />
    </Confirm>
  );
}
