import type { ButtonHTMLAttributes } from "react";
import { forwardRef } from "react";

export type ButtonKind = "plain" | "primary" | "danger" | "quiet";

const LOOK: Record<ButtonKind, string> = {
  plain: "border border-line bg-panel hover:bg-sunk",
  primary: "border border-transparent bg-accent text-accent-ink hover:opacity-90",
  danger: "border border-red bg-panel text-red hover:bg-red-soft",
  quiet: "border border-transparent hover:bg-sunk",
};

export function buttonLook(kind: ButtonKind = "plain", size: "small" | "usual" = "usual"): string {
  const box = size === "small" ? "min-h-7 px-2" : "min-h-8 px-3";
  return `inline-flex ${box} items-center justify-center gap-1.5 rounded-md font-medium whitespace-nowrap disabled:opacity-55 ${LOOK[kind]}`;
}

type Props = ButtonHTMLAttributes<HTMLButtonElement> & { kind?: ButtonKind; size?: "small" | "usual" };

export const Button = forwardRef<HTMLButtonElement, Props>(function Button(
  { kind, size, className, ...rest },
  ref,
) {
  return (
    <button ref={ref} type="button" {...rest} className={`${buttonLook(kind, size)} ${className ?? ""}`} />
  );
});
