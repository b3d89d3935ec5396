// Runs one task with a client typed by openapi-typescript: run_task.ts BASE_URL API_KEY INSTRUCTIONS
// Prints the bytes of its output file.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.ts";

const [baseUrl = "", apiKey = "", instructions = ""] = process.argv.slice(2);
// "application/json" leaves out the event stream, which the route of the events can answer with, too.
const headers = { Authorization: `Bearer ${apiKey}` };
const client = createClient<paths, "application/json">({ baseUrl, headers });

function check<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

// Reads fields that only some types of event have, so that it compiles only if `type` distinguishes them.
function describe(event: components["schemas"]["Event"]): string {
  switch (event.type) {
    case "tool.started":
      return `${event.type} ${event.data.tool}`;
    case "task.finished":
      return `${event.type} ${event.data.files.length}`;
    default:
      return event.type;
  }
}

let task: components["schemas"]["Task"] = check(
  await client.POST("/api/v1/agents/{agentId}/tasks", {
    params: { path: { agentId: "agt_standard_data" } },
    body: { instructions },
  }),
);
const taskId = task.id;
while (task.status === "pending" || task.status === "running") {
  await new Promise((resolve) => setTimeout(resolve, 200));
  task = check(await client.GET("/api/v1/tasks/{taskId}", { params: { path: { taskId } } }));
}
if (task.status !== "finished") throw new Error(`${task.status}: ${task.error}`);
const events = check(await client.GET("/api/v1/tasks/{taskId}/events", { params: { path: { taskId } } }));
console.error(events.data.map(describe).join("\n"));
const files = check(await client.GET("/api/v1/tasks/{taskId}/files", { params: { path: { taskId } } }));
const fileId = files.data[0]!.id;
const content = check(
  await client.GET("/api/v1/tasks/{taskId}/files/{fileId}", {
    params: { path: { taskId, fileId } },
    parseAs: "text",
  }),
);
process.stdout.write(content);
