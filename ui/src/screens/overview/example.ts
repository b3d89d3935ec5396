/** The example of the first run: a small table of sales, and what an agent shall find in it. */
import { api, data } from "@/api/client";
import { upload } from "@/api/upload";
import { OFFLINE, type OfferedModel } from "@/execution/models";

export const EXAMPLE = { key: "example", value: "first-run" } as const;
export const AGENT = "agt_standard_data";
const INSTRUCTIONS =
  "Summarise sales.csv: the revenue of each region, and which one sells best. Write a table and two sentences to report.md.";
const SALES = `date,region,product,units,unit_price_usd
2026-01-05,north,Office chair,10,189.00
2026-01-06,north,Notebook A5,60,4.90
2026-01-08,south,Notebook A5,60,4.90
2026-01-09,west,Notebook A5,20,4.90
2026-01-12,east,Standing desk,2,549.00
2026-01-13,south,Office chair,3,189.00
2026-01-15,north,Desk lamp,25,39.50
2026-01-19,west,Standing desk,1,549.00
2026-01-22,east,Desk lamp,12,39.50
2026-01-27,north,Standing desk,4,549.00
`;

/** What answers in the example: a model, or the offline script. */
export type Choice = { provider: string; model: string | null };

/** What the account can use now: the models of the providers it has keys for, the default first; then the script. */
export function choices(
  keyed: readonly string[],
  models: readonly OfferedModel[],
  hasOffline: boolean,
): Choice[] {
  const usable = models.filter(({ provider }) => keyed.includes(provider));
  const sorted = [...usable].sort((left, right) => Number(right.isDefault) - Number(left.isDefault));
  return [
    ...sorted.map(({ provider, id }) => ({ provider, model: id })),
    ...(hasOffline ? [{ provider: OFFLINE, model: null }] : []),
  ];
}

export function uploadExample(): Promise<string> {
  const file = new File([SALES], "sales.csv", { type: "text/csv" });
  return upload(file, new AbortController().signal, () => {});
}

/** Dispatch the example with its uploaded file; a repeat with the same key dispatches nothing. */
export async function dispatchExample(key: string, fileId: string, choice: Choice): Promise<void> {
  const { provider, model } = choice;
  await data(
    api.POST("/api/v1/agents/{agentId}/tasks", {
      params: { path: { agentId: AGENT }, header: { "Idempotency-Key": key } },
      body: {
        instructions: INSTRUCTIONS,
        title: "Example: sales by region",
        inputFileIds: [fileId],
        metadata: { [EXAMPLE.key]: EXAMPLE.value },
        overrides: { provider, ...(model === null ? {} : { model }) },
      },
    }),
  );
}
