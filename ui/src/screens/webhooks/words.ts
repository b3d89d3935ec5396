export const words = {
  title: "Webhooks",
  empty: "No webhooks yet",
  emptyText: "A webhook sends what happens to your tasks to a URL of yours.",
  on: "on",
  off: "switched off",
  deliveries: "Deliveries",
  noDeliveries: "Nothing was sent yet",
} as const;
