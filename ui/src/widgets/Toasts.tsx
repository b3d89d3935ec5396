/** Short messages at the edge of the page, for what has no place of its own. */
import { Toast } from "@base-ui/react/toast";
import { X } from "lucide-react";
import { words } from "@/words";

const manager = Toast.createToastManager();

export function notify(title: string, description?: string): void {
  manager.add({ title, description, timeout: 6000 });
}

export function Toasts() {
  return (
    <Toast.Provider toastManager={manager}>
      <Toast.Portal>
        <Toast.Viewport className="fixed right-4 bottom-20 z-50 flex w-[min(22rem,calc(100vw-2rem))] flex-col gap-2 sm:bottom-4">
          <List />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}

function List() {
  const { toasts } = Toast.useToastManager();
  return toasts.map((toast) => (
    <Toast.Root
      key={toast.id}
      toast={toast}
      className="flex items-start gap-3 rounded-lg border border-line bg-panel p-3 shadow-lg"
    >
      <div className="min-w-0 flex-1">
        <Toast.Title className="font-medium" />
        <Toast.Description className="text-soft" />
      </div>
      <Toast.Close
        aria-label={words.close}
        className="inline-flex size-6 items-center justify-center rounded hover:bg-sunk"
      >
        <X aria-hidden size={14} />
      </Toast.Close>
    </Toast.Root>
  ));
}
