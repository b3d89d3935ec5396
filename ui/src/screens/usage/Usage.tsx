import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import { accountQuery } from "@/api/queries";
import type { Account } from "@/api/types";
import { Money } from "@/parts/Amounts";
import { money } from "@/parts/format";
import { Page } from "@/parts/Page";
import { Loaded } from "@/parts/States";
import { Tabs } from "@/widgets/Tabs";
import { ByDay } from "./ByDay";
import { Ledger } from "./Ledger";
import { readUsage } from "./usage";
import { words } from "./words";

const route = getRouteApi("/shell/usage");

export function Usage() {
  const { tab } = route.useSearch();
  const navigate = route.useNavigate();
  const account = useQuery(accountQuery);
  return (
    <Page title={words.title}>
      <Loaded query={account} lines={2}>
        {(shown) => <Balance account={shown} />}
      </Loaded>
      <Tabs
        className="mt-4"
        value={tab ?? "usage"}
        onChange={(value) =>
          void navigate({
            search: (old) => ({ ...old, tab: value === "ledger" ? value : undefined }),
            replace: true,
          })
        }
        tabs={[
          { value: "usage", label: words.tabs.usage, content: <ByDay /> },
          { value: "ledger", label: words.tabs.ledger, content: <Ledger /> },
        ]}
      />
    </Page>
  );
}

function Balance(props: { account: Account }) {
  const { account } = props;
  const [month] = useState(() => `${new Date().toISOString().slice(0, 7)}-01`);
  const spent = useQuery({
    queryKey: ["usage", "month", month],
    queryFn: () => readUsage({ from: month, by: "day", limit: 100 }),
    refetchInterval: 60_000,
  });
  const sum = (name: "costUsd" | "modelCostUsd") =>
    (spent.data?.data ?? []).reduce((total, row) => total + row[name], 0);
  const isUnlimited = account.billingMode === "unlimited_grant";
  return (
    <dl className="grid gap-3 sm:grid-cols-3">
      <Amount label={words.balance} usd={account.creditBalance}>
        {isUnlimited && words.unlimited}
      </Amount>
      <Amount label={words.held} usd={account.heldUsd} />
      <Amount label={words.month} usd={sum("costUsd") + sum("modelCostUsd")}>
        {words.ofMonth(money(sum("costUsd")), money(sum("modelCostUsd")))}
      </Amount>
    </dl>
  );
}

function Amount(props: { label: string; usd: number; children?: React.ReactNode }) {
  return (
    <div className="rounded-lg border border-line bg-panel p-3">
      <dt className="text-soft">{props.label}</dt>
      <dd>
        <span className="text-2xl font-semibold">
          <Money usd={props.usd} />
        </span>
        {props.children && <span className="block text-[13px] text-soft">{props.children}</span>}
      </dd>
    </div>
  );
}
