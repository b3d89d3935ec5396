export const words = {
  title: "Log in",
  key: "API key",
  hint: "It begins with ac_live_. The page sends it once and does not keep it.",
  button: "Log in",
  orLink: "Or open the link that `agentcontainer up` printed, or that `agentcontainer open` makes.",
  opening: "Logging in with the link…",
  usedCode:
    "This link does not work any more: it was used, or is older than 10 minutes. Make another one, or use an API key.",
  confirm: "Log in to this account?",
  confirmButton: "Yes, log in",
  stay: "No, stay as it is",
} as const;
