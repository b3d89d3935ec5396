import { expect, test } from "vitest";
import { bytes, duration, money, relative, short } from "./format";

test.each([
  [0, "$0.00"],
  [0.0354, "$0.035"],
  [0.00123, "$0.0012"],
  [12.5, "$12.50"],
  [-3, "−$3.00"],
  [1234.5, "$1,234.50"],
])("%d dollars are %s", (usd, text) => expect(money(usd)).toBe(text));

test.each([
  [0, "0"],
  [999, "999"],
  [1000, "1k"],
  [7951, "8k"],
  [7850, "7.8k"],
  [12_345, "12k"],
  [999_960, "1M"],
  [1_250_000, "1.3M"],
])("%d in short is %s", (count, text) => expect(short(count)).toBe(text));

test.each([
  [0, "0 s"],
  [5, "5 ms"],
  [400, "0.4 s"],
  [41_000, "41 s"],
  [185_000, "3 min 5 s"],
  [7_440_000, "2 h 4 min"],
  [183_600_000, "2 d 3 h"],
  [3_600_000, "1 h"],
])("%d ms are %s", (ms, text) => expect(duration(ms)).toBe(text));

test.each([
  [0, "just now"],
  [-180_000, "3 min ago"],
  [-86_400_000 * 3, "3 d ago"],
  [7_200_000, "in 2 h"],
])("%d ms from now is %s", (difference, text) => expect(relative(1e12 + difference, 1e12)).toBe(text));

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1536, "1.5 KiB"],
  [5 * 1024 ** 3, "5 GiB"],
])("%d bytes are %s", (size, text) => expect(bytes(size)).toBe(text));
