import { useInfiniteQuery } from "@tanstack/react-query";
import { Ellipsis, Plus } from "lucide-react";
import { useState } from "react";
import { api, data } from "@/api/client";
import type { InstalledAccount } from "@/api/types";
import { Name } from "@/content/Text";
import { Money } from "@/parts/Amounts";
import { Copyable } from "@/parts/Copyable";
import { Table } from "@/parts/Page";
import { byCursor, Pages, pageOf } from "@/parts/Pages";
import { useMayAdminister } from "@/parts/session";
import { Time } from "@/parts/Time";
import { Button } from "@/widgets/Button";
import { Menu, MenuItem, MenuLine } from "@/widgets/Menu";
import { CreditDialog, LimitsDialog, NewAccountDialog, SuspensionDialog } from "./AccountDialogs";
import { words } from "./words";

type Open = { kind: "credit" | "limits" | "suspension"; account: InstalledAccount } | { kind: "new" } | null;

export function Accounts() {
  const mayOperate = useMayAdminister();
  const [open, setOpen] = useState<Open>(null);
  const close = () => setOpen(null);
  const query = useInfiniteQuery({
    queryKey: ["installation", "accounts"],
    queryFn: ({ pageParam }) =>
      data(api.GET("/api/v1/installation/accounts", { params: { query: pageOf(pageParam) } })),
    ...byCursor,
  });
  return (
    <div className="space-y-3">
      {mayOperate && (
        <Button kind="primary" onClick={() => setOpen({ kind: "new" })}>
          <Plus aria-hidden size={14} /> {words.newAccount}
        </Button>
      )}
      <Pages query={query} empty={null}>
        {(accounts) => <List accounts={accounts} onOpen={mayOperate ? setOpen : null} />}
      </Pages>
      {open?.kind === "new" && <NewAccountDialog onClose={close} />}
      {open?.kind === "credit" && <CreditDialog account={open.account} onClose={close} />}
      {open?.kind === "limits" && <LimitsDialog account={open.account} onClose={close} />}
      {open?.kind === "suspension" && <SuspensionDialog account={open.account} onClose={close} />}
    </div>
  );
}

function List(props: { accounts: InstalledAccount[]; onOpen: ((open: Open) => void) | null }) {
  const { onOpen } = props;
  return (
    <Table
      label={words.tabs.accounts}
      rows={props.accounts}
      id={(account) => account.id}
      columns={[
        {
          title: words.account,
          cell: (account) => (
            <div>
              <Name text={account.name} className="font-medium" />{" "}
              {account.isOperator && <span className="text-[13px] text-violet">{words.operator}</span>}{" "}
              {account.suspendedAt && <span className="text-[13px] text-red">{words.suspended}</span>}
              <div>
                <Copyable text={account.id} />
              </div>
            </div>
          ),
        },
        {
          title: words.balance,
          isRight: true,
          cell: (account) =>
            account.billingMode === "unlimited_grant" ? (
              <span className="text-soft">{words.neverCharged}</span>
            ) : (
              <Money usd={account.creditBalance} />
            ),
        },
        { title: words.runningTasks, isRight: true, cell: (account) => account.runningTasks },
        { title: words.waiting, isRight: true, isWideOnly: true, cell: (account) => account.queuedTasks },
        {
          title: words.limits,
          isWideOnly: true,
          cell: (account) => <span className="text-soft">{limitsOf(account)}</span>,
        },
        { title: words.keys, isRight: true, isWideOnly: true, cell: (account) => account.apiKeys },
        {
          title: words.made,
          isWideOnly: true,
          cell: (account) => <Time at={account.createdAt} className="text-soft" />,
        },
        {
          title: words.actions,
          isRight: true,
          cell: (account) =>
            onOpen && (
              <Menu
                label={words.actionsOf(account.name)}
                trigger={
                  <Button size="small" kind="quiet">
                    <Ellipsis aria-hidden size={14} />
                  </Button>
                }
              >
                <MenuItem onClick={() => onOpen({ kind: "credit", account })}>{words.addCredit}</MenuItem>
                <MenuItem onClick={() => onOpen({ kind: "limits", account })}>{words.setLimits}</MenuItem>
                <MenuLine />
                <MenuItem
                  isDanger={account.suspendedAt === null}
                  onClick={() => onOpen({ kind: "suspension", account })}
                >
                  {account.suspendedAt === null ? words.suspend : words.resume}
                </MenuItem>
              </Menu>
            ),
        },
      ]}
    />
  );
}

function limitsOf(account: InstalledAccount): string {
  const { runningTasks, queuedTasks } = account.limits;
  if (runningTasks === null && queuedTasks === null) return words.unlimited;
  const shown = (limit: number | null) => (limit === null ? "∞" : String(limit));
  return words.limitText(shown(runningTasks), shown(queuedTasks));
}
