export const words = {
  title: "Files",
  of: "of",
  empty: "No files yet",
  emptyText: "Here are the files that you upload and those that agents hand over.",
} as const;
