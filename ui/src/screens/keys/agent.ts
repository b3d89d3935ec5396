/** A browser in words, from what it says about itself. */
export function browserOf(userAgent: string): string {
  const browser = [
    [/Edg\//, "Edge"],
    [/OPR\//, "Opera"],
    [/Firefox\//, "Firefox"],
    [/(Chrome|Chromium)\//, "Chrome"],
    [/Safari\//, "Safari"],
  ].find(([pattern]) => (pattern as RegExp).test(userAgent))?.[1];
  const system = [
    [/Android/, "Android"],
    [/iPhone|iPad/, "iOS"],
    [/Windows/, "Windows"],
    [/Mac OS X/, "macOS"],
    [/Linux/, "Linux"],
  ].find(([pattern]) => (pattern as RegExp).test(userAgent))?.[1];
  return browser && system ? `${browser} on ${system}` : userAgent.slice(0, 200);
}

/** Whether something was done in the last day. */
export function isRecent(at: string | null, now: number): boolean {
  return at !== null && now - Date.parse(at) < 86_400_000;
}
