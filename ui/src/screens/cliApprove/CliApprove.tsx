/** Approves or refuses a login of a command line, which another program has begun. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { api, data } from "@/api/client";
import type { CliLogin, CurrentSession } from "@/api/types";
import { Name } from "@/content/Text";
import { Facts, useTitle } from "@/parts/Page";
import { Empty, ErrorNote, Loaded } from "@/parts/States";
import { useMayAdminister, useSession } from "@/parts/session";
import { Time } from "@/parts/Time";
import { Button } from "@/widgets/Button";
import { SelectField } from "@/widgets/Fields";
import { words } from "./words";

const route = getRouteApi("/shell/cli/approve");

export function CliApprove() {
  useTitle(words.title);
  const { login } = route.useSearch();
  const query = useQuery({
    queryKey: ["cli-login", login],
    queryFn: () =>
      data(api.GET("/api/v1/cli-logins/{loginId}", { params: { path: { loginId: login ?? "" } } })),
    enabled: login !== undefined,
    refetchInterval: ({ state }) => (state.data?.status === "pending" ? 5000 : false),
  });
  if (login === undefined) return <Empty title={words.noLogin}>{words.noLoginText}</Empty>;
  return <Loaded query={query}>{(shown) => <Decision login={shown} />}</Loaded>;
}

function Decision(props: { login: CliLogin }) {
  const { login } = props;
  const session = useSession();
  const mayApprove = useMayAdminister();
  const isExpired = useIsPast(login.expiresAt);
  const queries = useQueryClient();
  const [role, setRole] = useState<CurrentSession["role"]>(session.role);
  const decide = useMutation({
    mutationFn: (isApproved: boolean) =>
      data(
        api.POST("/api/v1/cli-logins/{loginId}/decide", {
          params: { path: { loginId: login.id } },
          body: isApproved ? { isApproved, role } : { isApproved },
        }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: ["cli-login", login.id] }),
  });
  return (
    <div className="mx-auto max-w-md space-y-4 px-4 py-10">
      <h1 className="text-xl font-semibold">{words.title}</h1>
      <p>
        {words.question} <Name text={session.account.name} className="font-semibold" />
      </p>
      <p className="rounded-lg bg-sunk p-4 text-center font-mono text-2xl tracking-widest">{login.phrase}</p>
      <Facts
        of={[
          [words.host, <Name key="host" text={login.hostname} />],
          [words.address, login.address ?? words.unknown],
          [words.begun, <Time key="begun" at={login.createdAt} />],
          [words.expires, <Time key="expires" at={login.expiresAt} />],
        ]}
      />
      {login.status === "pending" && isExpired ? (
        <p role="status" className="font-medium">
          {words.states.expired}
        </p>
      ) : login.status === "pending" && !mayApprove ? (
        <p role="status">{words.noRights}</p>
      ) : login.status === "pending" ? (
        <>
          <SelectField
            label={words.role}
            value={role}
            onChange={(event) => setRole(event.target.value as CurrentSession["role"])}
          >
            {session.role !== "viewer" && <option value="member">{words.member}</option>}
            <option value="viewer">{words.viewer}</option>
          </SelectField>
          <p className="text-soft">{words.warning}</p>
          <ErrorNote error={decide.error} />
          <div className="flex gap-2">
            <Button kind="primary" disabled={decide.isPending} onClick={() => decide.mutate(true)}>
              {words.approve}
            </Button>
            <Button disabled={decide.isPending} onClick={() => decide.mutate(false)}>
              {words.refuse}
            </Button>
          </div>
        </>
      ) : (
        <p role="status" className="font-medium">
          {words.states[login.status]}
        </p>
      )}
    </div>
  );
}

/** Whether that time has come; it changes when it comes. */
function useIsPast(time: string): boolean {
  const [isPast, setPast] = useState(() => Date.parse(time) <= Date.now());
  useEffect(() => {
    const timer = setTimeout(() => setPast(true), Math.max(0, Date.parse(time) - Date.now()));
    return () => clearTimeout(timer);
  }, [time]);
  return isPast;
}
