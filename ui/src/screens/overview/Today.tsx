/** How today's tasks ended, what they cost, and the balance. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { accountQuery } from "@/api/queries";
import { usage } from "@/api/usage";
import { Money } from "@/parts/Amounts";
import { money } from "@/parts/format";
import { Panel } from "@/parts/Page";
import { Loaded } from "@/parts/States";
import { Status } from "@/parts/Status";
import { summarise, twoDays } from "./today";
import { words } from "./words";

export function Today() {
  const [{ from, to }] = useState(() => twoDays(Date.now()));
  const sums = useQuery({
    queryKey: ["live", "usage", from, to],
    queryFn: () => usage({ from, to, by: "day" }),
  });
  const account = useQuery(accountQuery);
  return (
    <Panel title={words.today}>
      <Loaded query={sums} lines={2}>
        {(rows) => {
          const { ends, todayUsd, yesterdayUsd } = summarise(rows, to);
          return (
            <div className="space-y-2 p-4">
              {ends.length === 0 && <p className="text-soft">{words.noneToday}</p>}
              <ul className="space-y-1">
                {ends.map(([end, count]) => (
                  <li key={end} className="flex justify-between gap-2">
                    <Status status={end} />
                    <span className="tabular-nums">{count}</span>
                  </li>
                ))}
              </ul>
              <p className="flex flex-wrap items-baseline justify-between gap-2">
                <span className="text-soft">{words.spent}</span>
                <span>
                  <Money usd={todayUsd} />{" "}
                  <span className="text-[13px] text-soft">{words.yesterday(money(yesterdayUsd))}</span>
                </span>
              </p>
            </div>
          );
        }}
      </Loaded>
      <Loaded query={account} lines={1}>
        {(data) => (
          <div className="border-t border-line p-4">
            <span className="block text-soft">{words.balance}</span>
            <span className="text-2xl font-semibold">
              <Money usd={data.creditBalance} />
            </span>
            {data.billingMode === "unlimited_grant" && (
              <span className="ml-2 text-soft">{words.unlimited}</span>
            )}
            {data.heldUsd > 0 && (
              <p className="text-[13px] text-soft">
                <Money usd={data.heldUsd} /> {words.held}
              </p>
            )}
          </div>
        )}
      </Loaded>
    </Panel>
  );
}
