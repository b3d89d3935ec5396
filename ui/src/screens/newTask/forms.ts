/** The request of a draft as curl, Python and the command line write it. Keys and tokens are never in it. */
import type { DispatchRequest } from "@/api/types";
import { curl, literal, python, quoted } from "@/parts/snippets";
import { limitsOf } from "./draft";

export type Forms = { curl: string; python: string; cli: string };

export function formsOf(agentId: string, request: DispatchRequest): Forms {
  const body = withoutTokens(request);
  return { curl: curlOf(agentId, body), python: pythonOf(agentId, body), cli: cliOf(agentId, body) };
}

function withoutTokens(request: DispatchRequest): DispatchRequest {
  if (!request.inputRepositories) return request;
  return {
    ...request,
    inputRepositories: request.inputRepositories.map(({ token: _, ...rest }) => rest),
  };
}

function curlOf(agentId: string, body: DispatchRequest): string {
  return curl("POST", `/api/v1/agents/${agentId}/tasks`, body);
}

function pythonOf(agentId: string, body: DispatchRequest): string {
  const { provider, model, budget, maxRuntimeSeconds, internetAccess, egress, outputPolicy, ...further } =
    body.overrides ?? {};
  const given: Record<string, unknown> = {
    agent: agentId,
    version: body.versionId,
    files: body.inputFileIds,
    repositories: body.inputRepositories,
    skills: body.skills,
    title: body.title,
    metadata: body.metadata,
    provider,
    model,
    budget_usd: limitsOf(budget).maxCostUsd,
    budget_tokens: limitsOf(budget).maxTokens,
    on_budget_reached: limitsOf(budget).onReached,
    max_runtime: maxRuntimeSeconds,
    internet: egress?.allow ?? internetAccess,
    outputs: outputPolicy && (outputPolicy.mode === "named" ? outputPolicy.files : outputPolicy.mode),
    overrides: Object.keys(further).length ? further : undefined,
  };
  const lines = Object.entries(given)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `    ${name}=${literal(value, 4)},`);
  return python(
    "task = client.tasks.run(",
    `    ${literal(body.instructions)},`,
    ...lines,
    ")",
    "print(task.result)",
  );
}

function cliOf(agentId: string, body: DispatchRequest): string {
  const { overrides } = body;
  const files = body.inputFileIds ?? [];
  const option = (name: string, value: unknown) =>
    value === undefined || value === null ? [] : [`${name} ${quoted(String(value))}`];
  const { outputPolicy: policy } = overrides ?? {};
  const parts = [
    `agentcontainer run ${[body.instructions, ...files].map(quoted).join(" ")}`,
    `--agent ${quoted(agentId)}`,
    ...option("--title", body.title),
    ...option("--provider", overrides?.provider),
    ...option("--model", overrides?.model),
    ...option("--budget", limitsOf(overrides?.budget).maxCostUsd),
    ...option("--budget-tokens", limitsOf(overrides?.budget).maxTokens),
    ...(limitsOf(overrides?.budget).onReached === "pause" ? ["--pause-at-budget"] : []),
    ...option("--max-runtime", overrides?.maxRuntimeSeconds && `${overrides.maxRuntimeSeconds}s`),
    ...(overrides?.egress
      ? [`--internet=${quoted(overrides.egress.allow.join(","))}`]
      : overrides?.internetAccess
        ? ["--internet"]
        : []),
    ...(body.inputRepositories ?? []).flatMap(({ url }) => option("--repo", url)),
    ...(policy?.mode === "at_least_one" ? ["--output at_least_one"] : []),
    ...(policy?.files ?? []).flatMap(({ name }) => option("--output", name)),
    ...Object.entries(body.metadata ?? {}).flatMap(([key, value]) =>
      option("--metadata", `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`),
    ),
  ];
  return parts.join(" \\\n  ");
}
