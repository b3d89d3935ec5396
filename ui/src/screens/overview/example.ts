/** The example of the first run: a small table of sales, and what an agent shall find in it. */
import { api, data, newKey } from "@/api/client";
import { upload } from "@/api/upload";

export const EXAMPLE = { key: "example", value: "first-run" } as const;
const AGENT = "agt_standard_data";
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

/** Dispatch the example; returns the task's id. `isOffline`: with the script in place of a model. */
export async function runExample(isOffline: boolean): Promise<string> {
  const file = new File([SALES], "sales.csv", { type: "text/csv" });
  const fileId = await upload(file, new AbortController().signal, () => {});
  const task = await data(
    api.POST("/api/v1/agents/{agentId}/tasks", {
      params: { path: { agentId: AGENT }, header: { "Idempotency-Key": newKey() } },
      body: {
        instructions: INSTRUCTIONS,
        title: "Example: sales by region",
        inputFileIds: [fileId],
        metadata: { [EXAMPLE.key]: EXAMPLE.value },
        ...(isOffline ? { overrides: { provider: "offline" } } : {}),
      },
    }),
  );
  if (!("id" in task)) throw new Error("The dispatch answered without a task.");
  return task.id;
}
