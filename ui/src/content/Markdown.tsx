/** Markdown of agents and users: elements only, never HTML; images are not fetched, links show where they lead. */
import { memo, type ReactNode } from "react";
import Base, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { words } from "@/words";
import { Boundary } from "./Boundary";
import { Code } from "./Code";
import { Output } from "./Text";
import { blocks, safeUrl, visible } from "./text";

const MAX_PARSED = 200_000;
const PLUGINS = [remarkGfm];

const components: Components = {
  a: ({ href, children }) => <SafeLink href={href}>{children}</SafeLink>,
  img: ({ alt, src }) => (
    <span className="text-soft">
      {words.image(visible(alt ?? ""))} {typeof src === "string" ? visible(src.slice(0, 300)) : ""}
    </span>
  ),
  pre: ({ children }) => children,
  code: ({ className, children }) => {
    const language = /language-([\w+-]+)/.exec(className ?? "")?.[1] ?? null;
    const text = String(children ?? "");
    return language || text.includes("\n") ? (
      <Code text={text.replace(/\n$/, "")} language={language} />
    ) : (
      <code>{text}</code>
    );
  },
};

export const Markdown = memo(function Markdown(props: { text: string }) {
  const text = visible(props.text);
  if (text.length > MAX_PARSED) return <Output text={props.text} />;
  return (
    <Boundary instead={<Output text={props.text} />}>
      <div dir="auto" className="prose-ac min-w-0">
        <Base remarkPlugins={PLUGINS} components={components} urlTransform={(url) => url}>
          {text}
        </Base>
      </div>
    </Boundary>
  );
});

/** Text that is still being written: finished blocks are not parsed again. */
export function LiveMarkdown(props: { text: string }) {
  if (props.text.length > MAX_PARSED) return <Output text={props.text} />;
  return (
    <div className="prose-ac">
      {blocks(props.text).map((block, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: blocks are only added at the end
        <Markdown key={index} text={block} />
      ))}
    </div>
  );
}

/** A link to the web. Where its text names another host, or none, the host is shown. */
export function SafeLink(props: { href: string | undefined; children: ReactNode }) {
  const url = safeUrl(props.href);
  if (url === null) return <span>{props.children}</span>;
  const shown = textOf(props.children);
  const isPlain = url.protocol === "mailto:" || safeUrl(shown.trim())?.host === url.host;
  return (
    <>
      <a href={url.href} target="_blank" rel="noopener noreferrer nofollow" className="text-accent underline">
        {props.children}
      </a>
      {!isPlain && <span className="text-soft"> ({url.host})</span>}
    </>
  );
}

function textOf(node: ReactNode): string {
  if (typeof node === "string" || typeof node === "number") return String(node);
  if (Array.isArray(node)) return node.map(textOf).join("");
  if (typeof node === "object" && node !== null && "props" in node) {
    return textOf((node.props as { children?: ReactNode }).children);
  }
  return "";
}
