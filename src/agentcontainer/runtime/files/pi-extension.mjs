// Loaded into Pi: replaces its tools `bash` and `edit`, keeps its session file complete, tells the agent of full disks,
// and lets the weak model, if there is one, summarise a long conversation.
//
// Pi imports these files as they are, because they are `.mjs` and name its bundle by path. Anything else it translates
// with Babel, which takes 0.4 s of CPU time at each start.
import { compact } from "./pi/dist/bundle/index.js";
import { bashTool, interrupt } from "./pi-command.mjs";
import { addFullDisks } from "./pi-disk.mjs";
import { editTool } from "./pi-edit.mjs";
import { keepSession } from "./pi-session.mjs";

export default function (pi) {
  keepSession(pi);
  pi.registerTool(bashTool(process.cwd()));
  pi.registerTool(editTool(process.cwd()));
  pi.registerCommand("agentcontainer-interrupt", {
    description: "End the running commands: the runner sends this",
    handler: async (reason) => interrupt(reason),
  });
  pi.on("tool_result", addFullDisks);
  if (process.env.AGENTCONTAINER_WEAK_MODEL) pi.on("session_before_compact", summarise);
}

async function summarise(event, ctx) {
  const model = ctx.modelRegistry.find(ctx.model?.provider, process.env.AGENTCONTAINER_WEAK_MODEL);
  if (!model) return undefined;
  try {
    // The key is a placeholder, as in models.json: the gateway has the real one.
    const { preparation, customInstructions, signal } = event;
    return { compaction: await compact(preparation, model, "sandbox", undefined, customInstructions, signal) };
  } catch (error) {
    process.stderr.write(`The weak model failed, so the main model writes the summary: ${error.message}\n`);
    return undefined;
  }
}
