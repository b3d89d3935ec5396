/** Money, token counts and sizes, in short, with the exact value in a tooltip. */
import { Tip } from "@/widgets/Tip";
import { bytes, money, short, whole } from "./format";

export function Money(props: { usd: number }) {
  return (
    <Tip text={`$${props.usd}`}>
      <span className="whitespace-nowrap tabular-nums">{money(props.usd)}</span>
    </Tip>
  );
}

export function Tokens(props: { count: number; label?: string }) {
  return (
    <Tip text={`${whole(props.count)} tokens`}>
      <span className="whitespace-nowrap tabular-nums">
        {short(props.count)}
        {props.label ? ` ${props.label}` : ""}
      </span>
    </Tip>
  );
}

export function Size(props: { bytes: number }) {
  return (
    <Tip text={`${whole(props.bytes)} bytes`}>
      <span className="whitespace-nowrap tabular-nums">{bytes(props.bytes)}</span>
    </Tip>
  );
}
