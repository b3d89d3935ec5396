import { useQuery } from "@tanstack/react-query";
import { capabilitiesQuery } from "@/api/queries";
import { Facts, Page, Panel } from "@/parts/Page";
import { Loaded, NoRights } from "@/parts/States";
import { useSession } from "@/parts/session";
import { words as shared } from "@/words";
import { words } from "./words";

export function Installation() {
  const query = useQuery(capabilitiesQuery);
  if (!useSession().isOperator) return <NoRights>{shared.operatorOnly}</NoRights>;
  return (
    <Page title={words.title}>
      <Panel title={words.offers}>
        <Loaded query={query}>
          {(shown) => (
            <div className="p-4">
              <Facts
                of={[
                  [words.version, shown.version],
                  [
                    words.regions,
                    shown.regions
                      .map((each) => `${each.region}: ${each.hasRunner ? words.runner : words.noRunner}`)
                      .join(", "),
                  ],
                  [words.internet, shown.internetAccess ? words.yes : words.no],
                  [words.off, shown.switchedOff.join(", ") || words.nothing],
                ]}
              />
            </div>
          )}
        </Loaded>
      </Panel>
    </Page>
  );
}
