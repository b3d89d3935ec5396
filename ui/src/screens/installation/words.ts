export const words = {
  title: "Installation",
  offers: "What it offers",
  version: "Version",
  regions: "Regions",
  runner: "has a runner",
  noRunner: "no runner",
  internet: "Internet access",
  off: "Switched off",
  nothing: "nothing",
  yes: "yes",
  no: "no",
} as const;
