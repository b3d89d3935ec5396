export const words = {
  title: "Keys",
  apiKeys: "API keys",
  made: "made",
  unused: "not used yet",
  providerKeys: "Provider keys",
  noProviderKeys: "No provider key is stored",
  sessions: "Browsers that are logged in",
  thisBrowser: "this browser",
} as const;
