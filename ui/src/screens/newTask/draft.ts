/** A task that is being written: what the form holds, and the request that it stands for. */
import { type FieldFault, newKey } from "@/api/client";
import type { components } from "@/api/schema";
import type { DispatchRequest, Task } from "@/api/types";
import { number, type PolicyForm, parsed, policyForm, policyOf, wholeNumber } from "@/execution/policy";
import type { StoredFile } from "@/upload/queue";

export type Internet = "" | "none" | "all" | "hosts";
export type Repository = { url: string; ref: string; path: string; token: string };
type Overrides = components["schemas"]["Overrides"];

export type Draft = {
  /** The Idempotency-Key: however often the draft is sent, it makes one task. */
  key: string;
  agentId: string;
  /** Empty: the agent's current version. */
  versionId: string;
  instructions: string;
  title: string;
  files: StoredFile[];
  repositories: Repository[];
  provider: string;
  model: string;
  maxCostUsd: string;
  maxTokens: string;
  onReached: "" | "fail" | "pause";
  maxMinutes: string;
  internet: Internet;
  hosts: string;
  policy: PolicyForm;
  metadata: string;
  skills: string[];
  /** Overrides that the form has no field for, of the task that is run again. */
  further: Overrides;
};

export const NO_REPOSITORY: Repository = { url: "", ref: "", path: "", token: "" };

export function newDraft(agentId: string, versionId = ""): Draft {
  return {
    key: newKey(),
    agentId,
    versionId,
    instructions: "",
    title: "",
    files: [],
    repositories: [],
    provider: "",
    model: "",
    maxCostUsd: "",
    maxTokens: "",
    onReached: "",
    maxMinutes: "",
    internet: "",
    hosts: "",
    policy: { mode: "", files: [] },
    metadata: "",
    skills: [],
    further: {},
  };
}

/** The draft that runs a task again: with the agent's version of today, the same inputs and overrides. */
export function draftOf(task: Task, versionSkills: readonly string[]): Draft {
  const { provider, model, budget, maxRuntimeSeconds, internetAccess, egress, outputPolicy, ...further } =
    task.overrides as Overrides;
  const limits = limitsOf(budget);
  const hasMetadata = Object.keys(task.metadata).length > 0;
  return {
    ...newDraft(task.agentId),
    instructions: task.instructions,
    files: task.inputFiles
      .filter(({ isDeleted }) => !isDeleted)
      .map(({ id, filename, sizeBytes }) => ({ id, name: filename, size: sizeBytes })),
    title: task.title !== null && !task.instructions.startsWith(task.title) ? task.title : "",
    repositories: task.inputRepositories.map((repository) => ({
      url: repository.url,
      ref: repository.ref ?? "",
      path: repository.path ?? "",
      token: "",
    })),
    provider: provider ?? "",
    model: model ?? "",
    maxCostUsd: text(limits.maxCostUsd),
    maxTokens: text(limits.maxTokens),
    onReached: limits.onReached ?? "",
    maxMinutes: maxRuntimeSeconds == null ? "" : String(maxRuntimeSeconds / 60),
    internet: egress ? "hosts" : internetAccess == null ? "" : internetAccess ? "all" : "none",
    hosts: egress?.allow.join("\n") ?? "",
    policy: policyForm(outputPolicy),
    metadata: hasMetadata ? JSON.stringify(task.metadata, null, 2) : "",
    skills: task.skills.filter((id) => !versionSkills.includes(id)),
    further,
  };
}

type Limits = {
  maxCostUsd?: number | null;
  maxTokens?: number | null;
  onReached?: "fail" | "pause" | null;
};

/** The two limits of a budget; its schema is a union of those with one and those with both. */
export function limitsOf(budget: Overrides["budget"]): Limits {
  return budget ?? {};
}

function text(value: number | null | undefined): string {
  return value == null ? "" : String(value);
}

export type Request = { body: DispatchRequest; faults: FieldFault[] };

/** The request of a draft. `faults`: what cannot be sent, because it is no number or no JSON. */
export function requestOf(draft: Draft): Request {
  const faults: FieldFault[] = [];
  const overrides = overridesOf(draft, faults);
  const metadata = parsed(draft.metadata, "metadata", faults);
  const repositories = draft.repositories.filter(({ url }) => url.trim()).map(repositoryOf);
  const body: DispatchRequest = {
    instructions: draft.instructions,
    ...(draft.versionId ? { versionId: draft.versionId } : {}),
    ...(draft.files.length ? { inputFileIds: draft.files.map(({ id }) => id) } : {}),
    ...(repositories.length ? { inputRepositories: repositories } : {}),
    ...(draft.skills.length ? { skills: draft.skills } : {}),
    ...(draft.title.trim() ? { title: draft.title.trim() } : {}),
    ...(metadata === null ? {} : { metadata: metadata as Record<string, unknown> }),
    ...(Object.keys(overrides).length ? { overrides } : {}),
  };
  return { body, faults };
}

function repositoryOf(repository: Repository) {
  const { url, ref, path, token } = repository;
  return {
    url: url.trim(),
    ...(ref.trim() ? { ref: ref.trim() } : {}),
    ...(path.trim() ? { path: path.trim() } : {}),
    ...(token ? { token } : {}),
  };
}

function overridesOf(draft: Draft, faults: FieldFault[]): Overrides {
  const maxCostUsd = number(draft.maxCostUsd, "overrides.budget.maxCostUsd", faults);
  const maxTokens = wholeNumber(draft.maxTokens, "overrides.budget.maxTokens", faults);
  const minutes = number(draft.maxMinutes, "overrides.maxRuntimeSeconds", faults);
  const { policy, faults: policyFaults } = policyOf(draft.policy, "overrides.outputPolicy");
  faults.push(...policyFaults);
  const budget = {
    ...(maxCostUsd === null ? {} : { maxCostUsd }),
    ...(maxTokens === null ? {} : { maxTokens }),
  };
  const isLimited = Object.keys(budget).length > 0;
  const allow = draft.hosts.split(/[\s,]+/).filter(Boolean);
  return {
    ...draft.further,
    ...(draft.provider ? { provider: draft.provider } : {}),
    ...(draft.model.trim() ? { model: draft.model.trim() } : {}),
    ...(isLimited
      ? { budget: { ...budget, ...(draft.onReached ? { onReached: draft.onReached } : {}) } }
      : {}),
    ...(minutes === null ? {} : { maxRuntimeSeconds: Math.round(minutes * 60) }),
    ...(draft.internet === "" ? {} : { internetAccess: draft.internet !== "none" }),
    ...(draft.internet === "hosts" ? { egress: { allow } } : {}),
    ...(policy === null ? {} : { outputPolicy: policy }),
  };
}

/** How many of the folded options say something. */
export function optionCount(draft: Draft): number {
  const said = [
    draft.title,
    draft.provider || draft.model,
    draft.maxCostUsd || draft.maxTokens,
    draft.maxMinutes,
    draft.internet,
    draft.policy.mode,
    draft.metadata,
    ...draft.skills,
    ...Object.keys(draft.further),
  ];
  return said.filter(Boolean).length;
}
