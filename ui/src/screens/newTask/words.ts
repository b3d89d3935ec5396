export const words = {
  title: "New task",
  agent: "Agent",
  instructions: "Instructions",
  dispatch: "Dispatch",
} as const;
