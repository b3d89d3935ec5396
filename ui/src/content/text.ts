/** Makes hostile text visible: characters that hide, reorder or pile up are replaced by marks. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f]/g;
const REORDERING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const INVISIBLE = /[\u00ad\u200b\u2060-\u2064\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
const PILED = /(\p{M}{3})\p{M}+/gu;

/** The text with C0 controls as their pictures, and other hidden characters as ⟨U+202E⟩. */
export function visible(text: string): string {
  return text
    .replace(/\r\n?|[\u2028\u2029\u0085]/g, "\n")
    .replace(CONTROL, (control) =>
      control === "\u007f" ? "␡" : String.fromCharCode(0x2400 + control.charCodeAt(0)),
    )
    .replace(REORDERING, named)
    .replace(INVISIBLE, named)
    .replace(PILED, "$1");
}

function named(character: string): string {
  return `⟨U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** The beginning of a text, without half a character at its end. */
export function head(text: string, length: number): string {
  if (text.length <= length) return text;
  const last = text.charCodeAt(length - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? length - 1 : length);
}

/** Only links to the web and to mail addresses are links. */
export function safeUrl(url: string | null | undefined): URL | null {
  if (!url) return null;
  try {
    const parsed = new URL(url);
    return ["http:", "https:", "mailto:"].includes(parsed.protocol) ? parsed : null;
  } catch {
    return null;
  }
}

/** Markdown in blocks, cut at blank lines outside of fences, so that a growing text is parsed at its end only. */
export function blocks(markdown: string): string[] {
  const found: string[] = [];
  let current: string[] = [];
  let fence: string | null = null;
  for (const line of markdown.split("\n")) {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (mark && fence === null) fence = mark;
    else if (mark && fence !== null && mark.startsWith(fence) && line.trim() === mark) fence = null;
    if (line.trim() === "" && fence === null) {
      if (current.length) found.push(current.join("\n"));
      current = [];
    } else {
      current.push(line);
    }
  }
  if (current.length) found.push(current.join("\n"));
  return found;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences of terminals begin with ESC
const OSC = /\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above; colours end in m and are kept
const CURSOR = /\u001b\[[0-9;?]*[A-Za-ln-z]|\u001b[()][A-Z0-9]|\u001b[=>78cM]/g;

/** Terminal output with its colours only: links, titles and cursor movements are dropped. */
export function coloursOnly(text: string): string {
  return text.replace(OSC, "").replace(CURSOR, "");
}
