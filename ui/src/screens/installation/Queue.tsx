import { useQuery } from "@tanstack/react-query";
import type { TaskStatus } from "@/api/types";
import { Name } from "@/content/Text";
import { duration, whole } from "@/parts/format";
import { Table } from "@/parts/Page";
import { Empty, Loaded } from "@/parts/States";
import { Status } from "@/parts/Status";
import { statusWords } from "@/words";
import { queueQuery } from "./queries";
import { words } from "./words";

const LIVE: TaskStatus[] = ["pending", "running", "awaiting_input", "hibernating"];

export function Queue() {
  const query = useQuery(queueQuery);
  return (
    <Loaded query={query}>
      {(queue) => (
        <div className="space-y-4">
          {queue.isPaused && (
            <p role="status" className="rounded-lg bg-amber-soft px-4 py-3 font-medium text-amber">
              {words.paused}
            </p>
          )}
          <ul aria-label={words.live} className="grid grid-cols-2 gap-3 sm:grid-cols-4">
            {LIVE.map((status) => (
              <li
                key={status}
                title={statusWords[status]}
                className="rounded-lg border border-line bg-panel p-3"
              >
                <Status status={status} />
                <p className="text-xl font-semibold tabular-nums">{whole(queue.tasks[status] ?? 0)}</p>
              </li>
            ))}
          </ul>
          {queue.regions.length === 0 ? (
            <Empty title={words.nothingWaits} />
          ) : (
            <Table
              label={words.tabs.queue}
              rows={queue.regions}
              id={(region) => region.region}
              columns={[
                {
                  title: words.region,
                  cell: (region) => <Name text={region.region} className="font-medium" />,
                },
                { title: words.waiting, isRight: true, cell: (region) => whole(region.waiting) },
                {
                  title: words.oldest,
                  isRight: true,
                  cell: (region) => duration(Math.round(region.oldestSeconds) * 1000),
                },
              ]}
            />
          )}
          {queue.accounts.length > 0 && (
            <Table
              label={words.account}
              rows={queue.accounts}
              id={(account) => account.accountId}
              columns={[
                {
                  title: words.account,
                  cell: (account) => <span className="font-mono text-[12px]">{account.accountId}</span>,
                },
                { title: words.waiting, isRight: true, cell: (account) => whole(account.waiting) },
                { title: words.runningTasks, isRight: true, cell: (account) => whole(account.running) },
                {
                  title: words.allowed,
                  isRight: true,
                  cell: (account) =>
                    account.maxRunning ?? <span className="text-soft">{words.unlimited}</span>,
                },
              ]}
            />
          )}
        </div>
      )}
    </Loaded>
  );
}
