export const words = {
  title: "Agents",
  standard: "standard",
  archived: "archived",
  prompt: "Prompt",
  defaults: "Defaults",
  versions: "Versions",
  current: "current",
  noPrompt: "This version has no prompt of its own.",
  run: "Run",
} as const;
