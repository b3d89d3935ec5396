/** Two texts compared: removed and added lines, with the changed words marked. */
import { memo } from "react";
import { words } from "@/words";
import { compare, type Line, type Piece } from "./diff";
import { visible } from "./text";

const LOOK = {
  same: ["", " ", ""],
  removed: ["bg-red-soft", "−", words.diff.removed],
  added: ["bg-green-soft", "+", words.diff.added],
} as const;

export const Diff = memo(function Diff(props: { before: string; after: string; label: string }) {
  const lines = compare(props.before, props.after);
  return (
    <table
      aria-label={props.label}
      className="w-full table-fixed border-separate border-spacing-0 font-mono text-[12.5px]"
    >
      <tbody>
        {lines.map((line, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the lines of one comparison never move
          <Row key={index} line={line} />
        ))}
      </tbody>
    </table>
  );
});

function Row(props: { line: Line }) {
  const { line } = props;
  if (line.kind === "folded") {
    return (
      <tr>
        <td colSpan={3} className="bg-sunk px-3 py-0.5 text-soft">
          {words.diff.folded(line.count)}
        </td>
      </tr>
    );
  }
  const [look, sign, meaning] = LOOK[line.kind];
  return (
    <tr className={look}>
      <td className="w-10 pr-2 text-right align-top text-soft select-none">{line.after ?? line.before}</td>
      <td className="w-5 align-top select-none">
        <span aria-hidden>{sign}</span>
        <span className="sr-only">{meaning}</span>
      </td>
      <td dir="auto" className="break-words whitespace-pre-wrap">
        {line.pieces.map((piece, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the pieces of one line never move
          <Words key={index} piece={piece} />
        ))}
      </td>
    </tr>
  );
}

function Words(props: { piece: Piece }) {
  const text = visible(props.piece.text);
  if (!props.piece.isChanged) return text;
  return <mark className="rounded-sm bg-transparent font-bold text-inherit underline">{text}</mark>;
}
