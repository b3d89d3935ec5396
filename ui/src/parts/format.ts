/** Numbers, money, sizes and times as people read them. */

const LOCALE = "en-GB";
const exact = new Intl.NumberFormat("en-US");
const local = new Intl.DateTimeFormat(LOCALE, {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
});
const clock = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });

/** Dollars: small amounts with four decimals, so that they are not zero. */
export function money(usd: number): string {
  const absolute = Math.abs(usd);
  const digits = absolute === 0 || absolute >= 1 ? 2 : absolute >= 0.01 ? 3 : 4;
  const text = absolute.toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  return `${usd < 0 ? "−" : ""}$${text}`;
}

/** A count in short: 7.9k, 1.2M. */
export function short(count: number): string {
  if (count < 1000) return String(count);
  const [value, unit] =
    count < 999_950 ? [count / 1000, "k"] : count < 999_950_000 ? [count / 1e6, "M"] : [count / 1e9, "G"];
  return `${value < 10 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value)}${unit}`;
}

export function whole(count: number): string {
  return exact.format(count);
}

export function bytes(size: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = size;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1).replace(/\.0$/, "")} ${units[unit]}`;
}

type Unit = [seconds: number, name: string, rest: number, restName: string];
const MINUTE: Unit = [60, "min", 1, "s"];
const HOUR: Unit = [3600, "h", 60, "min"];
const DAY: Unit = [86_400, "d", 3600, "h"];

/** A duration: 5 ms, 0.4 s, 41 s, 3 min 5 s, 2 h 4 min, 2 d 3 h. */
export function duration(ms: number): string {
  if (ms > 0 && ms < 100) return `${Math.ceil(ms)} ms`;
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1).replace(/\.0$/, "")} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const [unit, name, rest, restName] = seconds < 3600 ? MINUTE : seconds < 86_400 ? HOUR : DAY;
  const left = Math.floor((seconds % unit) / rest);
  return `${Math.floor(seconds / unit)} ${name}${left ? ` ${left} ${restName}` : ""}`;
}

/** How long ago, or how far ahead: "3 min ago", "in 2 h". */
export function relative(at: number, now: number): string {
  const difference = now - at;
  const size = Math.abs(difference);
  if (size < 5000) return "just now";
  const text =
    size < 60_000
      ? `${Math.floor(size / 1000)} s`
      : size < 3_600_000
        ? `${Math.floor(size / 60_000)} min`
        : size < 86_400_000
          ? `${Math.floor(size / 3_600_000)} h`
          : `${Math.floor(size / 86_400_000)} d`;
  return difference >= 0 ? `${text} ago` : `in ${text}`;
}

export function localTime(at: number): string {
  return local.format(at);
}

export function clockTime(at: number): string {
  return clock.format(at);
}
