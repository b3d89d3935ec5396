/** An id or other short text that one click copies. */
import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { notify } from "@/widgets/Toasts";
import { words } from "@/words";
import { copy } from "./copy";

export function Copyable(props: { text: string; shown?: string; label?: string }) {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [isCopied]);
  const click = async () => {
    if (await copy(props.text)) setCopied(true);
    else notify(words.copyFailed);
  };
  const Icon = isCopied ? Check : Copy;
  return (
    <button
      type="button"
      onClick={click}
      aria-label={`${words.copy} ${props.label ?? props.text}`}
      className="inline-flex max-w-full items-center gap-1 rounded px-1 text-left font-mono text-[12px] text-soft hover:bg-sunk hover:text-ink"
    >
      <bdi className="truncate">{props.shown ?? props.text}</bdi>
      <Icon aria-hidden size={12} className="shrink-0" />
    </button>
  );
}
