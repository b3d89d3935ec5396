/** An agent as its editor has it, and the change that an edit stands for. Pure. */
import type { FieldFault } from "@/api/client";
import type { components } from "@/api/schema";
import type { Agent, AgentVersion } from "@/api/types";
import { number, type PolicyForm, policyForm, policyOf } from "@/execution/policy";

export type AgentChange = components["schemas"]["AgentChange"];
type DefaultsInput = components["schemas"]["AgentDefaultsInput"];

export type AgentForm = {
  name: string;
  description: string;
  basePrompt: string;
  image: string;
  provider: string;
  model: string;
  weakModel: string;
  internetAccess: boolean;
  maxMinutes: string;
  softMinutes: string;
  ttlMinutes: string;
  region: string;
  policy: PolicyForm;
  references: string[];
  skills: string[];
};

/** A new agent: empty defaults are the platform's. */
export const NEW_AGENT: AgentForm = {
  name: "",
  description: "",
  basePrompt: "",
  image: "",
  provider: "",
  model: "",
  weakModel: "",
  internetAccess: false,
  maxMinutes: "",
  softMinutes: "",
  ttlMinutes: "",
  region: "",
  policy: { mode: "", files: [] },
  references: [],
  skills: [],
};

export function formOf(agent: Agent): AgentForm {
  const { defaults, ...version } = agent.currentVersion;
  return {
    name: agent.name,
    description: agent.description,
    basePrompt: version.basePrompt,
    image: version.runtime.containerImage ?? "",
    provider: defaults.provider,
    model: defaults.model,
    weakModel: defaults.weakModel ?? "",
    internetAccess: defaults.internetAccess,
    maxMinutes: String(defaults.maxRuntimeSeconds / 60),
    softMinutes: defaults.softFinishAfterSeconds === null ? "" : String(defaults.softFinishAfterSeconds / 60),
    ttlMinutes: String(defaults.sessionTtlSeconds / 60),
    region: defaults.runtimeRegion,
    policy: policyForm(defaults.outputPolicy),
    references: version.referenceFileIds,
    skills: version.skills,
  };
}

export type Key = keyof AgentForm;

/** The fields in which two forms differ. */
export function changedKeys(before: AgentForm, after: AgentForm): Key[] {
  return (Object.keys(after) as Key[]).filter((key) => !isSame(before[key], after[key]));
}

function isSame(before: unknown, after: unknown): boolean {
  return JSON.stringify(before) === JSON.stringify(after);
}

/** The fields that were edited, on top of a version that came meanwhile. */
export function rebased(form: AgentForm, base: AgentForm, newer: AgentForm): AgentForm {
  const edited = changedKeys(base, form).map((key) => [key, form[key]]);
  return { ...newer, ...Object.fromEntries(edited) };
}

/** The request for an edit: only what differs. An empty default is reset to the platform's. */
export function changeOf(base: AgentForm, form: AgentForm): { change: AgentChange; faults: FieldFault[] } {
  const faults: FieldFault[] = [];
  const keys = new Set(changedKeys(base, form));
  const defaults = defaultsOf(form, keys, faults);
  const change: AgentChange = {
    ...(keys.has("name") ? { name: form.name.trim() } : {}),
    ...(keys.has("description") ? { description: form.description } : {}),
    ...(keys.has("basePrompt") ? { basePrompt: form.basePrompt } : {}),
    ...(keys.has("image") ? { runtime: { containerImage: form.image.trim() || null } } : {}),
    ...(keys.has("references") ? { referenceFileIds: form.references } : {}),
    ...(keys.has("skills") ? { skills: form.skills } : {}),
    ...(Object.keys(defaults).length ? { defaults } : {}),
  };
  return { change, faults };
}

function defaultsOf(form: AgentForm, keys: ReadonlySet<Key>, faults: FieldFault[]): DefaultsInput {
  const seconds = (text: string, name: string) => {
    const minutes = number(text, `defaults.${name}`, faults);
    return minutes === null ? null : Math.round(minutes * 60);
  };
  const { policy, faults: policyFaults } = policyOf(form.policy, "defaults.outputPolicy");
  faults.push(...policyFaults);
  const limits = {
    maxRuntimeSeconds: seconds(form.maxMinutes, "maxRuntimeSeconds"),
    softFinishAfterSeconds: seconds(form.softMinutes, "softFinishAfterSeconds"),
    sessionTtlSeconds: seconds(form.ttlMinutes, "sessionTtlSeconds"),
  };
  return {
    ...(keys.has("provider") ? { provider: form.provider || null } : {}),
    ...modelOf(form, keys),
    ...(keys.has("weakModel") ? { weakModel: form.weakModel.trim() || null } : {}),
    ...(keys.has("internetAccess") ? { internetAccess: form.internetAccess } : {}),
    ...(keys.has("maxMinutes") ? { maxRuntimeSeconds: limits.maxRuntimeSeconds } : {}),
    ...(keys.has("softMinutes") ? { softFinishAfterSeconds: limits.softFinishAfterSeconds } : {}),
    ...(keys.has("ttlMinutes") ? { sessionTtlSeconds: limits.sessionTtlSeconds } : {}),
    ...(keys.has("region") ? { runtimeRegion: (form.region || null) as DefaultsInput["runtimeRegion"] } : {}),
    ...(keys.has("policy") ? { outputPolicy: policy } : {}),
  };
}

/** A changed provider comes with its model. Without one, the API says whether that provider needs it. */
function modelOf(form: AgentForm, keys: ReadonlySet<Key>): DefaultsInput {
  const model = form.model.trim();
  if (keys.has("provider")) return model ? { model } : {};
  return keys.has("model") ? { model: model || null } : {};
}

/** What of an agent two versions are compared by. */
export type Comparable = {
  label: string;
  basePrompt: string;
  image: string | null;
  defaults: Record<string, unknown>;
  references: readonly string[];
  skills: readonly string[];
};

export function comparable(version: AgentVersion): Comparable {
  return {
    label: `v${version.number}`,
    basePrompt: version.basePrompt,
    image: version.runtime.containerImage,
    defaults: version.defaults,
    references: version.referenceFileIds,
    skills: version.skills,
  };
}

/** The version that an edit would make, as far as it can be told before it is saved. */
export function draftVersion(version: AgentVersion, change: AgentChange, label: string): Comparable {
  const now = comparable(version);
  return {
    ...now,
    label,
    basePrompt: change.basePrompt ?? now.basePrompt,
    image: change.runtime ? (change.runtime.containerImage ?? null) : now.image,
    defaults: { ...now.defaults, ...change.defaults },
    references: change.referenceFileIds ?? now.references,
    skills: change.skills ?? now.skills,
  };
}

export type SettingRow = { name: string; before: unknown; after: unknown; isChanged: boolean };

/** The defaults and the image of two versions, side by side. */
export function settingRows(before: Comparable, after: Comparable): SettingRow[] {
  const names = [...new Set([...Object.keys(before.defaults), ...Object.keys(after.defaults)])];
  const row = (name: string, old: unknown, now: unknown) => ({
    name,
    before: old,
    after: now,
    isChanged: !isSame(old, now),
  });
  return [
    ...names.map((name) => row(name, before.defaults[name], after.defaults[name])),
    row("image", before.image, after.image),
  ];
}

export type Listed = { added: string[]; removed: string[]; kept: number };

export function listedChange(before: readonly string[], after: readonly string[]): Listed {
  return {
    added: after.filter((id) => !before.includes(id)),
    removed: before.filter((id) => !after.includes(id)),
    kept: after.filter((id) => before.includes(id)).length,
  };
}

/** What differs between two versions, in a few words. */
export function differences(before: Comparable, after: Comparable): string[] {
  const { added: newFiles, removed: oldFiles } = listedChange(before.references, after.references);
  const { added: newSkills, removed: oldSkills } = listedChange(before.skills, after.skills);
  return [
    ...(before.basePrompt === after.basePrompt ? [] : ["prompt"]),
    ...settingRows(before, after)
      .filter(({ isChanged }) => isChanged)
      .map(({ name }) => name),
    ...(newFiles.length + oldFiles.length ? ["reference files"] : []),
    ...(newSkills.length + oldSkills.length ? ["skills"] : []),
  ];
}

export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
