import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Ellipsis, Plus } from "lucide-react";
import { useState } from "react";
import { api, data } from "@/api/client";
import type { ApiKey } from "@/api/types";
import { Name } from "@/content/Text";
import { head, visible } from "@/content/text";
import { Copyable } from "@/parts/Copyable";
import { money } from "@/parts/format";
import { Panel, Table } from "@/parts/Page";
import { byCursor, Pages, pageOf } from "@/parts/Pages";
import { ErrorNote } from "@/parts/States";
import { useMayAdminister } from "@/parts/session";
import { Time } from "@/parts/Time";
import { Button } from "@/widgets/Button";
import { Confirm } from "@/widgets/Dialogs";
import { TextField } from "@/widgets/Fields";
import { Menu, MenuItem } from "@/widgets/Menu";
import { notify } from "@/widgets/Toasts";
import { isRecent } from "./agent";
import { KeyDialog } from "./KeyDialog";
import { words } from "./words";

const route = getRouteApi("/shell/keys");
/** A table inside a panel needs no border of its own. */
const BARE = "[&>div]:rounded-none [&>div]:border-x-0 [&>div]:border-b-0";
const LIST = ["api-keys", "pages"];

export function ApiKeys() {
  const mayAdminister = useMayAdminister();
  const navigate = route.useNavigate();
  const isNew = route.useSearch().new !== undefined && mayAdminister;
  const [changed, setChanged] = useState<ApiKey | null>(null);
  const [revoked, setRevoked] = useState<ApiKey | null>(null);
  const setNew = (isOpen: boolean) =>
    void navigate({ search: isOpen ? { new: "true" } : {}, replace: true, resetScroll: false });
  const query = useInfiniteQuery({
    queryKey: LIST,
    queryFn: ({ pageParam }) => data(api.GET("/api/v1/api-keys", { params: { query: pageOf(pageParam) } })),
    ...byCursor,
  });
  return (
    <Panel
      title={words.apiKeys}
      actions={
        mayAdminister && (
          <Button size="small" kind="primary" onClick={() => setNew(true)}>
            <Plus aria-hidden size={14} /> {words.newKey}
          </Button>
        )
      }
    >
      <p className="px-4 py-2 text-soft">{words.apiKeysText}</p>
      <div className={BARE}>
        <Pages query={query} empty={null}>
          {(keys) => (
            <List keys={keys} onChange={setChanged} onRevoke={setRevoked} mayAdminister={mayAdminister} />
          )}
        </Pages>
      </div>
      {isNew && <KeyDialog onClose={() => setNew(false)} />}
      {changed && <KeyDialog apiKey={changed} onClose={() => setChanged(null)} />}
      {revoked && <Revoke apiKey={revoked} onClose={() => setRevoked(null)} />}
    </Panel>
  );
}

function List(props: {
  keys: ApiKey[];
  mayAdminister: boolean;
  onChange: (key: ApiKey) => void;
  onRevoke: (key: ApiKey) => void;
}) {
  const { columns } = words;
  return (
    <Table
      label={words.apiKeys}
      rows={props.keys}
      id={(key) => key.id}
      columns={[
        {
          title: columns.name,
          cell: (key) => (
            <div>
              <Name text={key.name} className="font-medium break-all" />{" "}
              {key.last4 && <span className="font-mono text-[12px] text-soft">…{key.last4}</span>}
              <div>
                <Copyable text={key.id} />
              </div>
            </div>
          ),
        },
        { title: columns.role, cell: (key) => words.roles[key.role] },
        {
          title: columns.bounds,
          cell: (key) => <span className="text-soft">{boundsOf(key)}</span>,
        },
        {
          title: columns.expires,
          cell: (key) => (
            <>
              <Narrow>{columns.expires}</Narrow> <Expiry at={key.expiresAt} />
            </>
          ),
        },
        {
          title: columns.used,
          cell: (key) => (
            <>
              <Narrow>{columns.used}</Narrow>{" "}
              {key.lastUsedAt ? (
                <Time at={key.lastUsedAt} />
              ) : (
                <span className="text-soft">{words.unused}</span>
              )}
            </>
          ),
        },
        {
          title: columns.made,
          isWideOnly: true,
          cell: (key) => <Time at={key.createdAt} className="text-soft" />,
        },
        {
          title: words.change,
          isRight: true,
          cell: (key) =>
            props.mayAdminister && (
              <Menu
                label={words.more(key.name)}
                trigger={
                  <Button size="small" kind="quiet">
                    <Ellipsis aria-hidden size={14} />
                  </Button>
                }
              >
                <MenuItem onClick={() => props.onChange(key)}>{words.change}</MenuItem>
                <MenuItem isDanger onClick={() => props.onRevoke(key)}>
                  {words.revoke}
                </MenuItem>
              </Menu>
            ),
        },
      ]}
    />
  );
}

/** The title of a column, on cards. */
function Narrow(props: { children: string }) {
  return <span className="text-soft sm:hidden">{props.children}:</span>;
}

function Expiry(props: { at: string | null }) {
  if (props.at === null) return <span className="text-soft">{words.never}</span>;
  if (Date.parse(props.at) < Date.now()) return <span className="text-red">{words.expired}</span>;
  return <Time at={props.at} />;
}

function boundsOf(key: ApiKey): string {
  const { limits } = key;
  const bounds = [
    key.agentIds && words.countAgents(key.agentIds.length),
    limits.tasksPerDay !== null && words.perDay(limits.tasksPerDay),
    limits.costUsdPerDay !== null && words.usdPerDay(money(limits.costUsdPerDay)),
    limits.maxPriority !== null && words.priority(limits.maxPriority),
  ];
  return bounds.filter(Boolean).join(" · ") || words.noLimit;
}

/** Revokes a key. One that was used in the last day must be named, because something uses it. */
function Revoke(props: { apiKey: ApiKey; onClose: () => void }) {
  const { apiKey } = props;
  const queries = useQueryClient();
  const [typed, setTyped] = useState("");
  const revoke = useMutation({
    mutationFn: () =>
      data(api.DELETE("/api/v1/api-keys/{keyId}", { params: { path: { keyId: apiKey.id } } })),
    onSuccess: () => {
      notify(words.revoked(visible(head(apiKey.name, 100))));
      props.onClose();
      void queries.invalidateQueries({ queryKey: ["api-keys"] });
      void queries.invalidateQueries({ queryKey: ["sessions"] });
    },
  });
  const mustType = isRecent(apiKey.lastUsedAt, Date.now());
  const isNamed = !mustType || typed.trim() === apiKey.name.trim();
  return (
    <Confirm
      isOpen
      onClose={props.onClose}
      title={words.revokeTitle(visible(head(apiKey.name, 100)))}
      action={words.revoke}
      isBusy={revoke.isPending || !isNamed}
      onConfirm={() => isNamed && revoke.mutate()}
    >
      <div className="space-y-3">
        <p>{words.revokeText}</p>
        {mustType && (
          <TextField
            label={words.usedLately}
            placeholder={apiKey.name}
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
          />
        )}
        <ErrorNote error={revoke.error} />
      </div>
    </Confirm>
  );
}
