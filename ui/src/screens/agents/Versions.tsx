import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, data } from "@/api/client";
import type { Agent, AgentVersion } from "@/api/types";
import { Name } from "@/content/Text";
import { visible } from "@/content/text";
import { settingNames } from "@/execution/words";
import { type Column, Panel, Table } from "@/parts/Page";
import { ErrorNote, ErrorState, Loaded, Skeleton } from "@/parts/States";
import { useMayWrite } from "@/parts/session";
import { Time } from "@/parts/Time";
import { Button, buttonLook } from "@/widgets/Button";
import { Confirm } from "@/widgets/Dialogs";
import { notify } from "@/widgets/Toasts";
import { words as shared } from "@/words";
import { comparable, differences } from "./form";
import { agentQuery, versionQuery, versionsQuery } from "./queries";
import { VersionDiff } from "./VersionDiff";
import { words } from "./words";

const route = getRouteApi("/shell/agents/$agentId");

export function Versions(props: { agent: Agent }) {
  const { agent } = props;
  const query = useInfiniteQuery(versionsQuery(agent.id));
  const { before, after } = route.useSearch();
  const navigate = route.useNavigate();
  if (query.data === undefined) {
    if (query.isError) return <ErrorState error={query.error} onRetry={() => void query.refetch()} />;
    return <Skeleton lines={3} />;
  }
  const versions = query.data.pages.flatMap((page) => page.data);
  const numberOf = (id: string) => versions.find((version) => version.id === id)?.number ?? 0;
  const chosen = [before, after].filter((id): id is string => id !== undefined);
  const toggle = (id: string) => {
    // A third choice takes the place of the older of the two.
    const rest = chosen.includes(id) ? chosen.filter((each) => each !== id) : [...chosen.slice(-1), id];
    const [first, second] = rest.sort((left, right) => numberOf(left) - numberOf(right));
    void navigate({
      search: (old) => ({ ...old, before: first, after: second }),
      replace: true,
      resetScroll: false,
    });
  };
  return (
    <div className="space-y-4">
      <VersionTable agent={agent} versions={versions} chosen={chosen} onToggle={toggle} />
      {query.hasNextPage && (
        <Button disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
          {shared.more}
        </Button>
      )}
      {before && after ? (
        <Comparison agentId={agent.id} before={before} after={after} />
      ) : (
        <p className="text-soft">{versions.length === 1 ? words.oneVersion : words.compareHint}</p>
      )}
    </div>
  );
}

function VersionTable(props: {
  agent: Agent;
  versions: AgentVersion[];
  chosen: string[];
  onToggle: (id: string) => void;
}) {
  const { agent } = props;
  const mayWrite = useMayWrite();
  const [activating, setActivating] = useState<AgentVersion | null>(null);
  const columns: Column<AgentVersion>[] = [
    {
      title: words.version,
      cell: (version) => (
        <label className="flex items-center gap-2 font-medium">
          <input
            type="checkbox"
            aria-label={words.choose(version.number)}
            checked={props.chosen.includes(version.id)}
            onChange={() => props.onToggle(version.id)}
          />
          v{version.number}
          {version.id === agent.currentVersion.id && (
            <span className="rounded bg-green-soft px-1.5 text-[12px] text-green">{words.current}</span>
          )}
        </label>
      ),
    },
    { title: words.model, cell: (version) => <Name text={version.defaults.model} className="text-soft" /> },
    { title: words.createdAt, cell: (version) => <Time at={version.createdAt} className="text-soft" /> },
    ...(mayWrite
      ? [
          {
            title: words.actions,
            isRight: true,
            cell: (version: AgentVersion) => (
              <span className="flex flex-wrap justify-end gap-2 max-sm:justify-start">
                {version.id !== agent.currentVersion.id && !agent.isStandard && (
                  <Button size="small" onClick={() => setActivating(version)}>
                    {words.activate}
                    <span className="sr-only"> v{version.number}</span>
                  </Button>
                )}
                {agent.archivedAt === null && (
                  <Link
                    to="/tasks/new"
                    search={{ agent: agent.id, version: version.id }}
                    className={buttonLook("plain", "small")}
                  >
                    {words.runThis}
                    <span className="sr-only"> v{version.number}</span>
                  </Link>
                )}
              </span>
            ),
          },
        ]
      : []),
  ];
  return (
    <>
      <Table label={words.versions} columns={columns} rows={props.versions} id={(version) => version.id} />
      {activating && <Activate agent={agent} version={activating} onClose={() => setActivating(null)} />}
    </>
  );
}

function Activate(props: { agent: Agent; version: AgentVersion; onClose: () => void }) {
  const { agent, version, onClose } = props;
  const queries = useQueryClient();
  const activate = useMutation({
    mutationFn: () => {
      const params = { path: { agentId: agent.id, versionId: version.id } };
      return data(api.POST("/api/v1/agents/{agentId}/versions/{versionId}/activate", { params }));
    },
    onSuccess: async (changed) => {
      queries.setQueryData(agentQuery(agent.id).queryKey, changed);
      onClose();
      notify(words.activated(version.number));
      await queries.invalidateQueries({ queryKey: ["agents"] });
    },
  });
  const changes = differences(comparable(agent.currentVersion), comparable(version));
  return (
    <Confirm
      isOpen
      onClose={onClose}
      title={words.activateTitle(visible(agent.name), version.number)}
      action={words.activate}
      isBusy={activate.isPending}
      onConfirm={() => activate.mutate()}
    >
      <p>
        {changes.length === 0
          ? words.activateSame
          : words.activateChanges(changes.map((name) => settingNames(name)).join(", "))}
      </p>
      <ErrorNote error={activate.error} />
    </Confirm>
  );
}

function Comparison(props: { agentId: string; before: string; after: string }) {
  const before = useQuery(versionQuery(props.agentId, props.before));
  const after = useQuery(versionQuery(props.agentId, props.after));
  return (
    <Loaded query={before} lines={4}>
      {(left) => (
        <Loaded query={after} lines={4}>
          {(right) => (
            <Panel title={words.compared(`v${left.number}`, `v${right.number}`)}>
              <div className="p-4">
                <VersionDiff before={comparable(left)} after={comparable(right)} />
              </div>
            </Panel>
          )}
        </Loaded>
      )}
    </Loaded>
  );
}
