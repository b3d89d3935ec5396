/** Text of agents, users and files, shown as text. */
import Anser from "anser";
import { memo, useState } from "react";
import { bytes } from "@/parts/format";
import { Button } from "@/widgets/Button";
import { words } from "@/words";
import { coloursOnly, head, visible } from "./text";

export const FIRST = 64 * 1024;

/** A name or title in a line: it cannot change the direction of what is around it. */
export const Name = memo(function Name(props: { text: string; className?: string }) {
  return (
    <bdi dir="auto" className={props.className}>
      {visible(head(props.text, 1000))}
    </bdi>
  );
});

/** Output of a program, with its terminal colours. Long text is cut until somebody asks for all of it.
 *
 * `isBounded`: it has a height of its own, and scrolls. */
export const Output = memo(function Output(props: { text: string; className?: string; isBounded?: boolean }) {
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole ? props.text : head(props.text, FIRST);
  return (
    <>
      <pre
        dir="auto"
        // What scrolls must be reachable by keyboard.
        tabIndex={props.isBounded ? 0 : undefined}
        className={`overflow-auto font-mono text-[12.5px] whitespace-pre-wrap ${props.isBounded ? "max-h-96" : ""} ${props.className ?? ""}`}
      >
        {shown.includes("\u001b[") ? <Coloured text={shown} /> : visible(shown)}
      </pre>
      {shown.length < props.text.length && (
        <p className="flex items-center gap-2 text-soft">
          {words.cut(bytes(shown.length), bytes(props.text.length))}
          <Button size="small" onClick={() => setWhole(true)}>
            {words.showAll}
          </Button>
        </p>
      )}
    </>
  );
});

function Coloured(props: { text: string }) {
  const parts = Anser.ansiToJson(coloursOnly(props.text), {
    use_classes: true,
    json: true,
    remove_empty: true,
  });
  return parts.map((part, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text never move
    <span key={index} className={look(part.fg, part.decorations)}>
      {visible(part.content)}
    </span>
  ));
}

function look(colour: string | null, decorations: string[]): string {
  const name = /^ansi-(?:bright-)?([a-z]+)$/.exec(colour ?? "")?.[1];
  return [name ? `ansi-${name}` : "", ...decorations.map((decoration) => `ansi-${decoration}`)]
    .join(" ")
    .trim();
}
