// Loaded into Pi: replaces its tool `bash`, and lets the weak model, if there is one, summarise a long conversation.
import { compact } from "@earendil-works/pi-coding-agent";
import { bashTool } from "./pi-command.js";

export default function (pi) {
  pi.registerTool(bashTool(process.cwd()));
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
