import { memo, useEffect, useState } from "react";
import { Copyable } from "@/parts/Copyable";
import { Boundary } from "./Boundary";
import { FIRST, Output } from "./Text";
import { visible } from "./text";

type Colour = (text: string, language: string) => React.ReactNode;
let loaded: Colour | null = null;

/** Code in a box. Its colours come as soon as their part of the program is loaded. */
export const Code = memo(function Code(props: { text: string; language: string | null; isBare?: boolean }) {
  const [colour, setColour] = useState<Colour | null>(() => loaded);
  const canColour = props.language !== null && props.text.length <= FIRST;
  useEffect(() => {
    if (!canColour || colour) return;
    let isGone = false;
    void import("./highlight").then((module) => {
      loaded = module.colour;
      if (!isGone) setColour(() => module.colour);
    });
    return () => {
      isGone = true;
    };
  }, [canColour, colour]);
  const plain = <Output text={props.text} className={props.isBare ? "" : "rounded-md bg-sunk p-3"} />;
  if (!canColour || !colour) return plain;
  return (
    <Boundary instead={plain}>
      <div className="group relative">
        <pre
          dir="ltr"
          className={`overflow-auto font-mono text-[12.5px] whitespace-pre-wrap ${props.isBare ? "" : "rounded-md bg-sunk p-3"}`}
        >
          {colour(visible(props.text), props.language ?? "")}
        </pre>
        {!props.isBare && (
          <div className="absolute top-1 right-1 rounded bg-panel opacity-0 group-hover:opacity-100 focus-within:opacity-100">
            <Copyable text={props.text} shown="" label="the code" />
          </div>
        )}
      </div>
    </Boundary>
  );
});
