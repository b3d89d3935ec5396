import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, loggedOut } from "@/api/client";
import type { Session } from "@/api/types";
import { Name } from "@/content/Text";
import { Panel } from "@/parts/Page";
import { byCursor, Pages, pageOf } from "@/parts/Pages";
import { Empty, ErrorNote } from "@/parts/States";
import { useMayWrite } from "@/parts/session";
import { Time } from "@/parts/Time";
import { Button } from "@/widgets/Button";
import { Confirm } from "@/widgets/Dialogs";
import { browserOf } from "./agent";
import { words } from "./words";

export function Sessions() {
  const mayWrite = useMayWrite();
  const [ended, setEnded] = useState<Session | null>(null);
  const query = useInfiniteQuery({
    queryKey: ["sessions", "pages"],
    queryFn: ({ pageParam }) => data(api.GET("/api/v1/sessions", { params: { query: pageOf(pageParam) } })),
    ...byCursor,
  });
  return (
    <Panel title={words.sessions}>
      <Pages query={query} empty={<Empty title={words.noSessions} />}>
        {(sessions) => (
          <ul>
            {sessions.map((session) => (
              <li
                key={session.id}
                className="flex flex-wrap items-center gap-x-4 gap-y-1 border-t border-line px-4 py-2 first:border-0"
              >
                <Name text={browserOf(session.userAgent)} className="min-w-32 flex-1 font-medium" />
                <span className="text-soft">{words.roles[session.role]}</span>
                {session.isCurrent && <span className="text-green">{words.thisBrowser}</span>}
                <span className="text-soft">
                  {words.lastSeen} <Time at={session.lastSeenAt} />
                </span>
                <span className="text-soft max-sm:hidden">
                  {words.until} <Time at={session.expiresAt} />
                </span>
                {mayWrite && (
                  <Button size="small" onClick={() => setEnded(session)}>
                    {words.end}
                    <span className="sr-only"> {browserOf(session.userAgent)}</span>
                  </Button>
                )}
              </li>
            ))}
          </ul>
        )}
      </Pages>
      {ended && <End session={ended} onClose={() => setEnded(null)} />}
    </Panel>
  );
}

function End(props: { session: Session; onClose: () => void }) {
  const { session } = props;
  const queries = useQueryClient();
  const end = useMutation({
    mutationFn: () =>
      data(api.DELETE("/api/v1/sessions/{sessionId}", { params: { path: { sessionId: session.id } } })),
    onSuccess: () => {
      props.onClose();
      if (session.isCurrent) loggedOut();
      else void queries.invalidateQueries({ queryKey: ["sessions"] });
    },
  });
  return (
    <Confirm
      isOpen
      onClose={props.onClose}
      title={words.endTitle}
      action={words.end}
      isBusy={end.isPending}
      onConfirm={() => end.mutate()}
    >
      <p>{words.endText}</p>
      <ErrorNote error={end.error} />
    </Confirm>
  );
}
