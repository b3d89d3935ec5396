/** A long list that is loaded page by page. */
import type { InfiniteData, UseInfiniteQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Button } from "@/widgets/Button";
import { words } from "@/words";
import { ErrorNote, ErrorState, Skeleton } from "./States";

type PageOf<T> = { data: T[] };

/** The rows loaded so far with a button for the next page, or the state that stands for them. */
export function Pages<T>(props: {
  query: UseInfiniteQueryResult<InfiniteData<PageOf<T>>>;
  empty: ReactNode;
  children: (rows: T[]) => ReactNode;
}) {
  const { query } = props;
  if (query.data === undefined) {
    if (query.isError) return <ErrorState error={query.error} onRetry={() => void query.refetch()} />;
    return <Skeleton />;
  }
  const rows = query.data.pages.flatMap((page) => page.data);
  return (
    <>
      {query.isError && <ErrorNote error={query.error} />}
      {rows.length === 0 && !query.hasNextPage ? props.empty : props.children(rows)}
      {query.hasNextPage && (
        <div className="py-4 text-center">
          <Button disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
            {words.more}
          </Button>
        </div>
      )}
    </>
  );
}

type PageInfo = { hasMore: boolean; nextCursor: string | null };

/** The options with which an infinite query walks through the pages of a list of the API. */
export const byCursor = {
  initialPageParam: null as string | null,
  getNextPageParam: (page: { pageInfo: PageInfo }) =>
    page.pageInfo.hasMore ? page.pageInfo.nextCursor : undefined,
};

/** The query parameters of one page. */
export function pageOf(cursor: string | null, limit = 50): { limit: number; cursor?: string } {
  return cursor === null ? { limit } : { limit, cursor };
}
