/** JSON as a tree that is built only as far as somebody opens it. */
import { ChevronDown, ChevronRight } from "lucide-react";
import { useState } from "react";
import { Button } from "@/widgets/Button";
import { words } from "@/words";
import { Output } from "./Text";
import { head, visible } from "./text";

const STEP = 100;
const MAX_INLINE = 400;

export function JsonTree(props: { value: unknown; depth?: number }) {
  return (
    <div className="font-mono text-[12.5px]">
      <Value value={props.value} isOpen={(props.depth ?? 1) > 0} />
    </div>
  );
}

function Value(props: { value: unknown; isOpen: boolean }) {
  const { value } = props;
  if (typeof value === "string") return <Text text={value} />;
  if (typeof value !== "object" || value === null) return <span className="text-amber">{String(value)}</span>;
  return <Node value={value} isOpen={props.isOpen} />;
}

function Text(props: { text: string }) {
  if (props.text.length > MAX_INLINE || props.text.includes("\n"))
    return <Output text={props.text} isBounded className="text-green" />;
  return <span className="break-all text-green">"{visible(props.text)}"</span>;
}

function Node(props: { value: object; isOpen: boolean }) {
  const [isOpen, setOpen] = useState(props.isOpen);
  const [shown, setShown] = useState(STEP);
  const isArray = Array.isArray(props.value);
  const entries = Object.entries(props.value);
  const summary = isArray ? `[${entries.length}]` : `{${entries.length}}`;
  if (entries.length === 0) return <span className="text-soft">{isArray ? "[]" : "{}"}</span>;
  const Icon = isOpen ? ChevronDown : ChevronRight;
  return (
    <>
      <button
        type="button"
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
        className="inline-flex items-center text-soft"
      >
        <Icon aria-hidden size={13} />
        {summary}
      </button>
      {isOpen && (
        <ul className="ml-2 border-l border-line pl-3">
          {entries.slice(0, shown).map(([key, child]) => (
            <li key={key}>
              <bdi className="text-blue">{visible(head(key, 200))}</bdi>
              <span className="text-soft">: </span>
              <Value value={child} isOpen={false} />
            </li>
          ))}
          {entries.length > shown && (
            <li>
              <Button size="small" onClick={() => setShown(shown + STEP)}>
                {words.more}
              </Button>
            </li>
          )}
        </ul>
      )}
    </>
  );
}
