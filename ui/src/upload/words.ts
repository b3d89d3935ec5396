export const words = {
  addFiles: "Add files",
  addFolder: "Add a folder",
  retry: "Retry",
  remove: "Remove",
  waiting: "waits",
} as const;
