/** Web pages and PDF files, which only the browser can show: from a signed link, in a frame without an origin.
 *
 * The link's own policy lets nothing out; docs/reference/files.md says what it forbids. */
import { useQuery } from "@tanstack/react-query";
import { ExternalLink } from "lucide-react";
import { useState } from "react";
import { api, data } from "@/api/client";
import { Loaded } from "@/parts/States";
import { Button, buttonLook } from "@/widgets/Button";
import { words } from "@/words";
import { visible } from "./text";

const FRESH_MS = 4 * 60_000; // links work for 5 minutes

export function usePreviewLinks(fileId: string) {
  return useQuery({
    queryKey: ["file", fileId, "preview"],
    queryFn: () => data(api.GET("/api/v1/files/{fileId}/preview", { params: { path: { fileId } } })),
    staleTime: FRESH_MS,
    gcTime: 0,
    refetchOnWindowFocus: false,
  });
}

/** A page without its scripts, until somebody asks for them. */
export function FramedPage(props: { fileId: string; filename: string; source: React.ReactNode }) {
  const query = usePreviewLinks(props.fileId);
  const [shown, setShown] = useState<"page" | "scripts" | "source">("page");
  return (
    <Loaded query={query}>
      {(preview) => {
        if (preview.url === null) return props.source;
        const hasScripts = shown === "scripts" && preview.scriptsUrl !== null;
        return (
          <div className="space-y-2">
            <fieldset className="flex flex-wrap gap-1">
              <legend className="sr-only">{words.preview.how}</legend>
              {(["page", "scripts", "source"] as const).map((each) => (
                <Button
                  key={each}
                  size="small"
                  aria-pressed={shown === each}
                  kind={shown === each ? "primary" : "plain"}
                  onClick={() => setShown(each)}
                >
                  {words.preview[each]}
                </Button>
              ))}
            </fieldset>
            {shown === "source" ? (
              props.source
            ) : (
              <iframe
                key={shown}
                title={visible(props.filename)}
                src={hasScripts ? (preview.scriptsUrl ?? undefined) : preview.url}
                sandbox={hasScripts ? "allow-scripts" : ""}
                referrerPolicy="no-referrer"
                className="h-[60vh] w-full rounded border border-line bg-white"
              />
            )}
            <p className="text-[13px] text-soft">{hasScripts ? words.preview.running : words.preview.safe}</p>
          </div>
        );
      }}
    </Loaded>
  );
}

export function PdfLink(props: { fileId: string }) {
  const query = usePreviewLinks(props.fileId);
  return (
    <Loaded query={query} lines={1}>
      {(preview) =>
        preview.url === null ? (
          <p className="text-soft">{words.preview.none}</p>
        ) : (
          <a
            href={preview.url}
            target="_blank"
            rel="noopener noreferrer nofollow"
            className={buttonLook("plain", "small")}
          >
            <ExternalLink aria-hidden size={14} /> {words.preview.pdf}
          </a>
        )
      }
    </Loaded>
  );
}
