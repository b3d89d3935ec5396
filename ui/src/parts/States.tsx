/** What a screen shows while it has nothing else: loading, empty, error, not found, no rights. */
import type { UseQueryResult } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleAlert, CloudOff, SearchX, ShieldAlert } from "lucide-react";
import type { ReactNode } from "react";
import { ApiError } from "@/api/client";
import { Button } from "@/widgets/Button";
import { words } from "@/words";
import { Copyable } from "./Copyable";
import { clockTime } from "./format";

export function Skeleton(props: { lines?: number }) {
  return (
    <div role="status" aria-label={words.loading} className="appear-late space-y-3 p-4">
      {Array.from({ length: props.lines ?? 5 }, (_, line) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the lines are alike and never move
        <div key={line} className={`pulse-slow h-4 rounded bg-sunk ${line % 3 === 2 ? "w-1/2" : "w-full"}`} />
      ))}
    </div>
  );
}

export function Empty(props: { title: string; children?: ReactNode }) {
  return (
    <div className="mx-auto max-w-xl px-4 py-12 text-center">
      <p className="text-base font-semibold">{props.title}</p>
      {props.children && <div className="mt-2 space-y-3 text-soft">{props.children}</div>}
    </div>
  );
}

export function ErrorState(props: { error: unknown; onRetry?: () => void }) {
  const { error } = props;
  if (error instanceof ApiError && error.status === 404) return <NotFound />;
  const isOffline = error instanceof ApiError && error.isOffline;
  const Icon = isOffline ? CloudOff : CircleAlert;
  return (
    <div role="alert" className="mx-auto flex max-w-xl flex-col items-center gap-3 px-4 py-12 text-center">
      <Icon aria-hidden className={isOffline ? "text-soft" : "text-red"} />
      <p>{error instanceof Error ? error.message : String(error)}</p>
      {error instanceof ApiError && error.requestId && (
        <p className="text-soft">
          {words.requestId}: <Copyable text={error.requestId} />
        </p>
      )}
      {props.onRetry && <Button onClick={props.onRetry}>{words.retry}</Button>}
    </div>
  );
}

/** An error in a line of its own, beside what is there already. */
export function ErrorNote(props: { error: unknown }) {
  if (!props.error) return null;
  const { error } = props;
  return (
    <p role="alert" className="rounded-md bg-red-soft px-3 py-2 text-red">
      {error instanceof Error ? error.message : String(error)}
      {error instanceof ApiError && error.requestId && (
        <span className="ml-2">
          <Copyable text={error.requestId} />
        </span>
      )}
    </p>
  );
}

export function NotFound() {
  return (
    <div className="mx-auto flex max-w-xl flex-col items-center gap-3 px-4 py-16 text-center">
      <SearchX aria-hidden className="text-soft" />
      <h1 className="text-lg font-semibold">{words.notFoundTitle}</h1>
      <p className="text-soft">{words.notFound}</p>
      <Link to="/" className="text-accent underline">
        {words.backToOverview}
      </Link>
    </div>
  );
}

export function NoRights(props: { children: ReactNode }) {
  return (
    <div className="mx-auto flex max-w-xl flex-col items-center gap-3 px-4 py-16 text-center">
      <ShieldAlert aria-hidden className="text-soft" />
      <p>{props.children}</p>
    </div>
  );
}

/** The data of a query, or the state that stands for it. Data that could not be refreshed stays, marked with its age. */
export function Loaded<T>(props: {
  query: UseQueryResult<T>;
  lines?: number;
  children: (data: T) => ReactNode;
}) {
  const { query } = props;
  if (query.data === undefined) {
    if (query.isError) return <ErrorState error={query.error} onRetry={() => void query.refetch()} />;
    return <Skeleton lines={props.lines} />;
  }
  const isGone = query.error instanceof ApiError && query.error.status === 404;
  if (isGone) return <NotFound />;
  return (
    <>
      {query.isError && (
        <Stale since={query.dataUpdatedAt} error={query.error} onRetry={() => void query.refetch()} />
      )}
      {props.children(query.data)}
    </>
  );
}

function Stale(props: { since: number; error: unknown; onRetry: () => void }) {
  return (
    <p role="status" className="flex flex-wrap items-center gap-2 bg-amber-soft px-4 py-1.5 text-amber">
      <CloudOff aria-hidden size={14} />
      {props.error instanceof Error ? props.error.message : ""} ({words.asOf(clockTime(props.since))})
      <Button kind="quiet" onClick={props.onRetry}>
        {words.retry}
      </Button>
    </p>
  );
}
