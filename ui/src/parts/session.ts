/** Who is logged in. */
import { useSuspenseQuery } from "@tanstack/react-query";
import { sessionQuery } from "@/api/queries";
import type { CurrentSession } from "@/api/types";

/** The session. The shell shows the screens only after it is known. */
export function useSession(): CurrentSession {
  return useSuspenseQuery(sessionQuery).data;
}

/** Whether the session may change things. A viewer sees no button that would fail. */
export function useMayWrite(): boolean {
  return useSession().role !== "viewer";
}

/** Whether the session may change the account itself: keys, webhooks, agents. Keys that are bound to agents may not. */
export function useMayAdminister(): boolean {
  const session = useSession();
  return session.role !== "viewer" && session.agentIds === null;
}
