/** A secret that the API shows once: a new API key, the secret of a webhook. */
import { Check, Copy } from "lucide-react";
import { type ReactNode, useState } from "react";
import { Button } from "@/widgets/Button";
import { Dialog } from "@/widgets/Dialogs";
import { notify } from "@/widgets/Toasts";
import { words } from "@/words";
import { copy } from "./copy";

/** A dialog with the secret. It is in memory only, and gone when the dialog is closed. */
export function ShownOnce(props: { title: string; onClose: () => void; children: ReactNode }) {
  return (
    <Dialog isOpen onClose={props.onClose} title={props.title}>
      <div className="space-y-4">
        <p className="rounded-md bg-amber-soft px-3 py-2 text-amber">{words.shownOnce}</p>
        {props.children}
        <div className="flex justify-end">
          <Button kind="primary" onClick={props.onClose}>
            {words.stored}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

/** One line to copy. */
export function CopyLine(props: { label: string; text: string }) {
  const [isCopied, setCopied] = useState(false);
  const click = async () => {
    if (await copy(props.text)) setCopied(true);
    else notify(words.copyFailed);
  };
  return (
    <div>
      <p className="mb-1 font-medium">{props.label}</p>
      <div className="flex items-start gap-2 rounded-md bg-sunk p-2">
        <code className="min-w-0 flex-1 font-mono text-[12.5px] break-all">{props.text}</code>
        <Button size="small" onClick={() => void click()} aria-label={`${words.copy} ${props.label}`}>
          {isCopied ? <Check aria-hidden size={14} /> : <Copy aria-hidden size={14} />}
          {isCopied ? words.copied : words.copy}
        </Button>
      </div>
    </div>
  );
}
