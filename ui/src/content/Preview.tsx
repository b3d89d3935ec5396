/** What a file contains, as far as it can be shown without trusting it. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ApiError, OWN_PAGE } from "@/api/client";
import { bytes } from "@/parts/format";
import { Loaded } from "@/parts/States";
import { words } from "@/words";
import { Code } from "./Code";
import { contentUrl } from "./Download";
import { FramedPage, PdfLink } from "./Framed";
import { JsonTree } from "./JsonTree";
import { Markdown } from "./Markdown";
import { Output } from "./Text";

const HEAD_BYTES = 256 * 1024;
const MAX_IMAGE_BYTES = 5 * 1024 * 1024;
const IMAGES = /^image\/(png|jpeg|gif|webp|avif|svg\+xml)$/;
const LANGUAGES: Record<string, string> = {
  py: "python",
  js: "javascript",
  ts: "typescript",
  tsx: "typescript",
  sh: "bash",
  css: "css",
  go: "go",
  rs: "rust",
  java: "java",
  sql: "sql",
  yaml: "yaml",
  yml: "yaml",
  html: "xml",
  xml: "xml",
  diff: "diff",
  patch: "diff",
};
const TEXTS = /\.(txt|log|csv|tsv|ini|toml|cfg|env|rst|tex)$/i;

export type PreviewKind = "html" | "pdf" | "image" | "markdown" | "json" | "code" | "text" | "none";

export function kindOf(filename: string, contentType: string): PreviewKind {
  const type = contentType.split(";")[0]?.trim().toLowerCase() ?? "";
  const ending = filename.split(".").pop()?.toLowerCase() ?? "";
  if (IMAGES.test(type)) return "image";
  if (type === "text/html" || ending === "html" || ending === "htm") return "html";
  if (type === "application/pdf") return "pdf";
  if (ending === "md" || type === "text/markdown") return "markdown";
  if (ending === "json" || type === "application/json") return "json";
  if (ending in LANGUAGES) return "code";
  return TEXTS.test(filename) || type.startsWith("text/") ? "text" : "none";
}

type Props = { fileId: string; filename: string; contentType: string; sizeBytes: number };

export function Preview(props: Props) {
  const kind = kindOf(props.filename, props.contentType);
  if (kind === "none") return <p className="text-soft">{words.preview.none}</p>;
  if (kind === "pdf") return <PdfLink fileId={props.fileId} />;
  if (kind === "html")
    return (
      <FramedPage
        fileId={props.fileId}
        filename={props.filename}
        source={<TextFile {...props} kind="code" />}
      />
    );
  if (kind === "image") return <Picture {...props} />;
  return <TextFile {...props} kind={kind} />;
}

async function read(fileId: string, range: string | null): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(contentUrl(fileId), {
      headers: { ...OWN_PAGE, ...(range ? { Range: range } : {}) },
    });
  } catch {
    throw ApiError.offline();
  }
  if (!response.ok) throw await ApiError.of(response);
  return response;
}

function TextFile(props: Props & { kind: PreviewKind }) {
  const isCut = props.sizeBytes > HEAD_BYTES;
  const query = useQuery({
    queryKey: ["file", props.fileId, "head"],
    queryFn: async () => (await read(props.fileId, isCut ? `bytes=0-${HEAD_BYTES - 1}` : null)).text(),
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <Loaded query={query}>
      {(text) => (
        <div className="space-y-2">
          <Body text={text} isCut={isCut} {...props} />
          {isCut && <p className="text-soft">{words.cut(bytes(HEAD_BYTES), bytes(props.sizeBytes))}</p>}
        </div>
      )}
    </Loaded>
  );
}

function Body(props: { text: string; isCut: boolean; kind: PreviewKind; filename: string }) {
  if (props.kind === "markdown") return <Markdown text={props.text} />;
  if (props.kind === "json" && !props.isCut) {
    try {
      return <JsonTree value={JSON.parse(props.text)} />;
    } catch {
      return <Output text={props.text} />;
    }
  }
  const language = LANGUAGES[props.filename.split(".").pop()?.toLowerCase() ?? ""] ?? null;
  return props.kind === "code" ? (
    <Code text={props.text} language={language} isBare />
  ) : (
    <Output text={props.text} />
  );
}

/** An image from bytes that the page fetched itself. In an `img`, SVG runs no scripts and loads nothing. */
function Picture(props: Props) {
  const isTooLarge = props.sizeBytes > MAX_IMAGE_BYTES;
  const query = useQuery({
    queryKey: ["file", props.fileId, "image"],
    queryFn: async () => (await read(props.fileId, null)).arrayBuffer(),
    enabled: !isTooLarge,
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (isTooLarge)
    return (
      <p className="text-soft">
        This image is larger than {bytes(MAX_IMAGE_BYTES)}. Download it to look at it.
      </p>
    );
  return <Loaded query={query}>{(content) => <Drawn content={content} {...props} />}</Loaded>;
}

function Drawn(props: { content: ArrayBuffer; contentType: string; filename: string }) {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([props.content], { type: props.contentType }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [props.content, props.contentType]);
  return (
    url && (
      <img src={url} alt={props.filename} className="max-h-[70vh] max-w-full rounded border border-line" />
    )
  );
}
