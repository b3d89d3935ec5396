/** What can be done with a webhook. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Ellipsis, Send } from "lucide-react";
import { useState } from "react";
import { api, data, newKey } from "@/api/client";
import type { Webhook, WebhookTestResult } from "@/api/types";
import { Output } from "@/content/Text";
import { head, visible } from "@/content/text";
import { CopyLine, ShownOnce } from "@/parts/ShownOnce";
import { ErrorNote } from "@/parts/States";
import { Button } from "@/widgets/Button";
import { Confirm, Dialog } from "@/widgets/Dialogs";
import { SelectField, TextField } from "@/widgets/Fields";
import { Menu, MenuItem, MenuLine } from "@/widgets/Menu";
import { notify } from "@/widgets/Toasts";
import { EditDialog } from "./EditDialog";
import { words } from "./words";

type Open = "test" | "edit" | "rotate" | "off" | "resend" | "delete" | null;

export function Actions(props: { webhook: Webhook }) {
  const { webhook } = props;
  const [open, setOpen] = useState<Open>(null);
  const queries = useQueryClient();
  const close = () => setOpen(null);
  const path = { webhookId: webhook.id };
  const isOff = webhook.disabledReason !== null;
  const enable = useMutation({
    mutationFn: (isEnabled: boolean) =>
      data(
        api.PATCH("/api/v1/webhooks/{webhookId}", {
          params: { path, header: { "Idempotency-Key": newKey() } },
          body: { isEnabled },
        }),
      ),
    onSuccess: () => {
      close();
      void queries.invalidateQueries({ queryKey: ["webhooks"] });
    },
    onError: (error) => notify(error.message),
  });
  const shownUrl = visible(head(webhook.url, 100));
  return (
    <>
      {isOff && (
        <Button kind="primary" disabled={enable.isPending} onClick={() => enable.mutate(true)}>
          {words.switchOn}
        </Button>
      )}
      <Button onClick={() => setOpen("test")}>
        <Send aria-hidden size={14} /> {words.test}
      </Button>
      <Button disabled={isOff} onClick={() => setOpen("resend")}>
        {words.resendAll}
      </Button>
      {webhook.taskId === null && (
        <Menu
          trigger={
            <Button aria-label={words.more}>
              <Ellipsis aria-hidden size={14} />
            </Button>
          }
        >
          <MenuItem onClick={() => setOpen("edit")}>{words.edit}</MenuItem>
          <MenuItem onClick={() => setOpen("rotate")}>{words.rotate}</MenuItem>
          {!isOff && <MenuItem onClick={() => setOpen("off")}>{words.switchOff}</MenuItem>}
          <MenuLine />
          <MenuItem isDanger onClick={() => setOpen("delete")}>
            {words.delete}
          </MenuItem>
        </Menu>
      )}
      {open === "test" && <TestDialog webhookId={webhook.id} onClose={close} />}
      {open === "edit" && <EditDialog webhook={webhook} onClose={close} />}
      {open === "rotate" && <RotateDialog webhookId={webhook.id} onClose={close} />}
      {open === "resend" && <ResendDialog webhookId={webhook.id} onClose={close} />}
      <Confirm
        isOpen={open === "off"}
        onClose={close}
        title={words.switchOffTitle(shownUrl)}
        action={words.switchOff}
        isBusy={enable.isPending}
        onConfirm={() => enable.mutate(false)}
      >
        {words.switchOffText}
      </Confirm>
      <Delete
        webhook={webhook}
        title={words.deleteTitle(shownUrl)}
        isOpen={open === "delete"}
        onClose={close}
      />
    </>
  );
}

function TestDialog(props: { webhookId: string; onClose: () => void }) {
  const queries = useQueryClient();
  const test = useMutation({
    mutationFn: () =>
      data(
        api.POST("/api/v1/webhooks/{webhookId}/test", {
          params: { path: { webhookId: props.webhookId } },
          body: {},
        }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: ["webhooks", props.webhookId] }),
  });
  return (
    <Dialog isOpen onClose={props.onClose} title={words.testTitle}>
      <div className="space-y-3">
        <Button kind="primary" disabled={test.isPending} onClick={() => test.mutate()}>
          {words.test}
        </Button>
        <ErrorNote error={test.error} />
        {test.data && <Tested result={test.data} />}
      </div>
    </Dialog>
  );
}

function Tested(props: { result: WebhookTestResult }) {
  const { result } = props;
  return (
    <div role="status" className="space-y-2">
      <p className={`font-medium ${result.isDelivered ? "text-green" : "text-red"}`}>
        {result.isDelivered
          ? words.testOk(result.status, result.durationMs)
          : words.testFailed(visible(result.error ?? words.status(result.status)))}
      </p>
      <p className="text-soft">{words.answer}</p>
      <Output text={result.answer || words.noAnswer} className="max-h-80 rounded-md bg-sunk p-3" />
    </div>
  );
}

function RotateDialog(props: { webhookId: string; onClose: () => void }) {
  const queries = useQueryClient();
  const [key] = useState(newKey);
  const [overlap, setOverlap] = useState("86400");
  const rotate = useMutation({
    mutationFn: () =>
      data(
        api.POST("/api/v1/webhooks/{webhookId}/rotate-secret", {
          params: { path: { webhookId: props.webhookId }, header: { "Idempotency-Key": key } },
          body: { overlapSeconds: Number(overlap) },
        }),
      ),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["webhooks"] }),
  });
  if (rotate.data)
    return (
      <ShownOnce title={words.createdTitle} onClose={props.onClose}>
        <CopyLine label={words.secret} text={rotate.data.secret} />
      </ShownOnce>
    );
  return (
    <Dialog isOpen onClose={props.onClose} title={words.rotate}>
      <div className="space-y-4">
        <p>{words.rotateText}</p>
        <SelectField
          label={words.overlap}
          value={overlap}
          onChange={(event) => setOverlap(event.target.value)}
        >
          {Object.entries(words.overlaps).map(([seconds, label]) => (
            <option key={seconds} value={seconds}>
              {label}
            </option>
          ))}
        </SelectField>
        <ErrorNote error={rotate.error} />
        <div className="flex justify-end">
          <Button kind="primary" disabled={rotate.isPending} onClick={() => rotate.mutate()}>
            {words.rotate}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

function ResendDialog(props: { webhookId: string; onClose: () => void }) {
  const queries = useQueryClient();
  const [key, setKey] = useState(newKey);
  const [since, setSince] = useState(() => localInput(Date.now() - 86_400_000));
  const resend = useMutation({
    mutationFn: (from: string) =>
      data(
        api.POST("/api/v1/webhooks/{webhookId}/resend", {
          params: { path: { webhookId: props.webhookId }, header: { "Idempotency-Key": key } },
          body: { since: from, status: "failed" },
        }),
      ),
    onSuccess: (resent) => {
      setKey(newKey());
      notify(words.resent(resent.count));
      void queries.invalidateQueries({ queryKey: ["webhooks", props.webhookId] });
      if (resent.nextSince === null) props.onClose();
    },
  });
  const next = resend.data?.nextSince ?? null;
  return (
    <Dialog isOpen onClose={props.onClose} title={words.resendAll}>
      <div className="space-y-4">
        <p>{words.resendAllText}</p>
        <TextField
          label={words.since}
          type="datetime-local"
          value={since}
          onChange={(event) => setSince(event.target.value)}
        />
        {next && <p role="status">{words.resentMore}</p>}
        <ErrorNote error={resend.error} />
        <div className="flex justify-end">
          <Button
            kind="primary"
            disabled={resend.isPending || Number.isNaN(Date.parse(since))}
            onClick={() => resend.mutate(next ?? new Date(since).toISOString())}
          >
            {words.resend}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

/** A time as `<input type="datetime-local">` takes it. */
function localInput(at: number): string {
  return new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function Delete(props: { webhook: Webhook; title: string; isOpen: boolean; onClose: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const remove = useMutation({
    mutationFn: () =>
      data(api.DELETE("/api/v1/webhooks/{webhookId}", { params: { path: { webhookId: props.webhook.id } } })),
    onSuccess: async () => {
      notify(words.deleted);
      await navigate({ to: "/webhooks" });
      queries.removeQueries({ queryKey: ["webhooks", props.webhook.id] });
      void queries.invalidateQueries({ queryKey: ["webhooks"] });
    },
  });
  return (
    <Confirm
      isOpen={props.isOpen}
      onClose={props.onClose}
      title={props.title}
      action={words.delete}
      isBusy={remove.isPending}
      onConfirm={() => remove.mutate()}
    >
      <p>{words.deleteText}</p>
      <ErrorNote error={remove.error} />
    </Confirm>
  );
}
