/** The colours of the series, as names of styles.css: right in light and dark. */
export const COLOURS = [
  "--accent",
  "--green",
  "--violet",
  "--amber",
  "--red",
  "--indigo",
  "--grey",
  "--soft",
] as const;

export const MARKS = [
  "bg-accent",
  "bg-green",
  "bg-violet",
  "bg-amber",
  "bg-red",
  "bg-indigo",
  "bg-grey",
  "bg-soft",
] as const;
