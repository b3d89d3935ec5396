import { Download as Icon } from "lucide-react";
import { ApiError, OWN_PAGE } from "@/api/client";
import { buttonLook } from "@/widgets/Button";
import { notify } from "@/widgets/Toasts";
import { words } from "@/words";

/** A link that saves a file. Under plain http a navigation carries no proof of its origin, so the page fetches it. */
export function Download(props: { fileId: string; filename: string; label?: string }) {
  const href = contentUrl(props.fileId);
  const fetchAndSave = async (event: React.MouseEvent) => {
    if (window.isSecureContext) return;
    event.preventDefault();
    const response = await fetch(href, { headers: OWN_PAGE });
    if (!response.ok) return notify((await ApiError.of(response)).message);
    const url = URL.createObjectURL(await response.blob());
    const link = document.createElement("a");
    link.href = url;
    link.download = props.filename;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  };
  return (
    <a href={href} download={props.filename} onClick={fetchAndSave} className={buttonLook("plain", "small")}>
      <Icon aria-hidden size={14} />
      {props.label ?? words.download}
      <span className="sr-only"> {props.filename}</span>
    </a>
  );
}

export function contentUrl(fileId: string): string {
  return `/api/v1/files/${encodeURIComponent(fileId)}/content`;
}
