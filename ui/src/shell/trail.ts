/** The tasks of the list that was shown last, so that a run page can go to the next and the previous one. */
let ids: string[] = [];

export function setTrail(taskIds: string[]): void {
  ids = taskIds;
}

export function neighbour(taskId: string, step: 1 | -1): string | null {
  const place = ids.indexOf(taskId);
  return place === -1 ? null : (ids[place + step] ?? null);
}
