// Writes src/agentcontainer/domain/models/catalogue.json from the pinned Pi's own catalogue.
//
//     node scripts/generate_catalogue.mjs PI_PACKAGE_FOLDER > src/agentcontainer/domain/models/catalogue.json
//
// One model a line, sorted, so that a new Pi shows as a readable diff. Prices are USD per million tokens.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const PROVIDERS = ["anthropic", "openai", "openrouter"];
const folder = process.argv[2];
if (!folder) {
  console.error("usage: generate_catalogue.mjs PI_PACKAGE_FOLDER");
  process.exit(2);
}
const pi = await import(pathToFileURL(resolve(folder, "dist/bundle/index.js")));
const runtime = await pi.ModelRuntime.create({
  credentials: { read: async () => undefined, list: async () => [] }, // the bundled catalogue needs no account
  modelsPath: null,
  refreshOnCreate: false,
  allowModelNetwork: false,
});

const byName = (a, b) => (a < b ? -1 : 1);
const rates = ({ input, output, cacheRead, cacheWrite }) => ({ cacheRead, cacheWrite, input, output });
const tier = ({ inputTokensAbove, ...prices }) => ({ ...rates(prices), inputTokensAbove });
const price = ({ tiers, ...prices }) => ({ ...rates(prices), ...(tiers?.length && { tiers: tiers.map(tier) }) });
const entry = ({ contextWindow, maxTokens, cost }) =>
  JSON.stringify({ contextWindow, cost: price(cost), maxTokens });
const section = (provider) => {
  const models = runtime.getModels(provider).sort((a, b) => byName(a.id, b.id));
  return `"${provider}":{\n${models.map((model) => `${JSON.stringify(model.id)}:${entry(model)}`).join(",\n")}\n}`;
};
console.log(`{"models":{\n${PROVIDERS.map(section).join(",\n")}\n},"piVersion":"${pi.VERSION}"}`);
