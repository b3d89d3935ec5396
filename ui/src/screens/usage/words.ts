export const words = {
  title: "Usage",
  balance: "Balance",
  ledger: "Ledger",
  unlimited: "This account is not charged; the amounts are what it would cost.",
  empty: "No entries yet",
  emptyText: "Each hold, charge, release and credit has an entry here.",
} as const;
