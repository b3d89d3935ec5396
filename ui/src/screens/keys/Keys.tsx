import { Page } from "@/parts/Page";
import { ApiKeys } from "./ApiKeys";
import { ProviderKeys } from "./ProviderKeys";
import { Sessions } from "./Sessions";
import { words } from "./words";

export function Keys() {
  return (
    <Page title={words.title}>
      <div className="space-y-4">
        <ApiKeys />
        <ProviderKeys />
        <Sessions />
      </div>
    </Page>
  );
}
