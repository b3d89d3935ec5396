export const words = {
  provider: "Provider",
  model: "Model",
  offline: "offline (a script, no AI)",
  asAgent: (value: string) => `As the agent: ${value}`,
  policy: "Output files",
  modes: {
    any: "Any files, or none",
    none: "No file",
    at_least_one: "At least one file",
    named: "Named files…",
  },
  policyNamed: "named:",
  addOutput: "Add an output",
  outputName: "Name",
  contentType: "Type",
  maxBytes: "Largest size, bytes",
  required: "Required",
  schema: "JSON Schema",
  remove: "Remove",
  none: "none",
  internetOn: "public internet",
  internetOff: "no internet",
  settings: {
    provider: "Provider",
    model: "Model",
    weakModel: "Weak model",
    internetAccess: "Internet",
    egress: "Hosts",
    maxRuntimeSeconds: "Time limit",
    softFinishAfterSeconds: "Asked to finish after",
    sessionTtlSeconds: "Waits for a message",
    outputPolicy: "Output files",
    runtimeRegion: "Region",
    budget: "Budget",
    priority: "Priority",
  } as Record<string, string>,
} as const;

/** What a setting is called within a sentence. */
export function settingNames(name: string): string {
  return (words.settings[name] ?? name).toLowerCase();
}
