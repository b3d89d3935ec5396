// Loaded into Pi for tasks with a weak model: that model writes the summary when Pi compacts a long conversation.
import { compact } from "@earendil-works/pi-coding-agent";

export default function (pi) {
  pi.on("session_before_compact", async (event, ctx) => {
    const model = ctx.modelRegistry.find(ctx.model?.provider, process.env.AGENTCONTAINER_WEAK_MODEL);
    if (!model) return undefined;
    try {
      // The key is a placeholder, as in models.json: the gateway has the real one.
      const { preparation, customInstructions, signal } = event;
      return { compaction: await compact(preparation, model, "sandbox", undefined, customInstructions, signal) };
    } catch (error) {
      process.stderr.write(`The weak model could not summarise, the main model does: ${error.message}\n`);
      return undefined;
    }
  });
}
