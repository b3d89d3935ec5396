export const words = {
  title: "Conversations",
  empty: "No conversations yet",
  emptyText: "A conversation is a task to which you talk, turn by turn.",
  untitled: "Untitled conversation",
  message: "Message",
  send: "Send",
  end: "End",
  ended: "This conversation has ended.",
} as const;
