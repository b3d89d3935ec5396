/** For operators: what runs, what waits, who uses it, how it is set. */
import { getRouteApi } from "@tanstack/react-router";
import { Page } from "@/parts/Page";
import { NoRights } from "@/parts/States";
import { useSession } from "@/parts/session";
import { Tabs } from "@/widgets/Tabs";
import { words as shared } from "@/words";
import { Accounts } from "./Accounts";
import { Audit } from "./Audit";
import { Health } from "./Health";
import { Queue } from "./Queue";
import { Runners } from "./Runners";
import { Settings } from "./Settings";
import { TABS, type TabName } from "./search";
import { words } from "./words";

const route = getRouteApi("/shell/installation");
const CONTENT: Record<TabName, () => React.ReactNode> = {
  health: Health,
  runners: Runners,
  queue: Queue,
  accounts: Accounts,
  settings: Settings,
  audit: Audit,
};

export function Installation() {
  const { tab } = route.useSearch();
  const navigate = route.useNavigate();
  if (!useSession().isOperator) return <NoRights>{shared.operatorOnly}</NoRights>;
  return (
    <Page title={words.title}>
      <Tabs
        value={tab ?? "health"}
        onChange={(value) =>
          void navigate({ search: value === "health" ? {} : { tab: value as TabName }, replace: true })
        }
        tabs={TABS.map((name) => {
          const Content = CONTENT[name];
          return {
            value: name,
            label: words.tabs[name],
            content: (
              <div className="pt-4">
                <Content />
              </div>
            ),
          };
        })}
      />
    </Page>
  );
}
