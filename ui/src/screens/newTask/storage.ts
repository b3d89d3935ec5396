/** Keeps drafts in the browser, without the tokens of repositories. Storage may be blocked; then they are lost. */
import { type Draft, newDraft } from "./draft";

const PREFIX = "draft:";

export function draftName(accountId: string, from: string | undefined): string {
  return `${PREFIX}${accountId}:${from ?? "new"}`;
}

export function loadDraft(name: string): Draft | null {
  try {
    const stored = JSON.parse(localStorage.getItem(name) ?? "null") as Partial<Draft> | null;
    // A draft of an older version of the page lacks the fields that came later.
    return stored === null ? null : { ...newDraft(""), ...stored };
  } catch {
    return null;
  }
}

export function saveDraft(name: string, draft: Draft): void {
  const kept = {
    ...draft,
    repositories: draft.repositories.map((repository) => ({ ...repository, token: "" })),
  };
  try {
    localStorage.setItem(name, JSON.stringify(kept));
  } catch {
    // It lasts until the page is closed.
  }
}

export function dropDraft(name: string): void {
  try {
    localStorage.removeItem(name);
  } catch {
    // There is nothing to remove.
  }
}
