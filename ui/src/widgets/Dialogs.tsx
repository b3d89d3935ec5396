import { AlertDialog } from "@base-ui/react/alert-dialog";
import { Dialog as Base } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import type { ReactNode } from "react";
import { words } from "@/words";
import { Button } from "./Button";

const BACKDROP = "fixed inset-0 z-40 bg-black/40";
const BOX = "fixed z-50 flex flex-col overflow-hidden bg-panel text-ink shadow-xl outline-none";
const CENTRE = `${BOX} left-1/2 top-[12vh] max-h-[80vh] w-[min(36rem,calc(100vw-2rem))] -translate-x-1/2 rounded-xl border border-line`;
const SIDE = `${BOX} inset-y-0 right-0 w-[min(44rem,100vw)] border-l border-line`;

type DialogProps = {
  isOpen: boolean;
  onClose: () => void;
  title: ReactNode;
  children: ReactNode;
  side?: boolean;
};

/** A dialog in the middle, or with `side` a sheet at the right. */
export function Dialog(props: DialogProps) {
  return (
    <Base.Root open={props.isOpen} onOpenChange={(isOpen) => isOpen || props.onClose()}>
      <Base.Portal>
        <Base.Backdrop className={BACKDROP} />
        <Base.Popup className={props.side ? SIDE : CENTRE}>
          <header className="flex items-center justify-between gap-3 border-b border-line px-4 py-3">
            <Base.Title className="min-w-0 text-base font-semibold">{props.title}</Base.Title>
            <Base.Close className="rounded p-1 hover:bg-sunk" aria-label={words.close}>
              <X aria-hidden size={16} />
            </Base.Close>
          </header>
          <div className="min-h-0 overflow-y-auto p-4">{props.children}</div>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

type ConfirmProps = {
  isOpen: boolean;
  onClose: () => void;
  /** Names the object. */
  title: string;
  /** Says what it costs. */
  children: ReactNode;
  action: string;
  onConfirm: () => void;
  isBusy?: boolean;
};

/** Asks before something that cannot be undone. */
export function Confirm(props: ConfirmProps) {
  return (
    <AlertDialog.Root open={props.isOpen} onOpenChange={(isOpen) => isOpen || props.onClose()}>
      <AlertDialog.Portal>
        <AlertDialog.Backdrop className={BACKDROP} />
        <AlertDialog.Popup className={CENTRE}>
          <div className="space-y-3 p-5">
            <AlertDialog.Title className="text-base font-semibold">{props.title}</AlertDialog.Title>
            <AlertDialog.Description className="text-soft" render={<div />}>
              {props.children}
            </AlertDialog.Description>
            <div className="flex justify-end gap-2 pt-2">
              <AlertDialog.Close render={<Button />}>{words.back}</AlertDialog.Close>
              <Button kind="danger" disabled={props.isBusy} onClick={props.onConfirm}>
                {props.action}
              </Button>
            </div>
          </div>
        </AlertDialog.Popup>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}
