/** Creates a webhook or changes one; a new one's secret is shown once. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, data, faultOf, newKey } from "@/api/client";
import type { Webhook, WebhookEvent } from "@/api/types";
import { CopyLine, ShownOnce } from "@/parts/ShownOnce";
import { ErrorNote } from "@/parts/States";
import { Button } from "@/widgets/Button";
import { Dialog } from "@/widgets/Dialogs";
import { TextField } from "@/widgets/Fields";
import { Verify } from "./Verify";
import { EVENTS, words } from "./words";

export function EditDialog(props: { webhook?: Webhook; onClose: () => void }) {
  const { webhook } = props;
  const queries = useQueryClient();
  const [key] = useState(newKey);
  const [url, setUrl] = useState(webhook?.url ?? "");
  const [description, setDescription] = useState(webhook?.description ?? "");
  const [events, setEvents] = useState<WebhookEvent[]>((webhook?.events as WebhookEvent[]) ?? ["*"]);
  const [secret, setSecret] = useState<string | null>(null);
  const send = useMutation({
    mutationFn: async () => {
      const body = { url: url.trim(), events, description: description.trim() || null };
      const header = { "Idempotency-Key": key };
      if (webhook) {
        const path = { webhookId: webhook.id };
        await data(api.PATCH("/api/v1/webhooks/{webhookId}", { params: { path, header }, body }));
        return null;
      }
      return (await data(api.POST("/api/v1/webhooks", { params: { header }, body }))).secret;
    },
    onSuccess: (made) => {
      void queries.invalidateQueries({ queryKey: ["webhooks"] });
      if (made === null) props.onClose();
      else setSecret(made);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send.mutate();
  };
  if (secret !== null)
    return (
      <ShownOnce title={words.createdTitle} onClose={props.onClose}>
        <CopyLine label={words.secret} text={secret} />
        <section className="space-y-2">
          <h3 className="font-medium">{words.verify}</h3>
          <Verify />
        </section>
      </ShownOnce>
    );
  return (
    <Dialog isOpen onClose={props.onClose} title={webhook ? words.edit : words.new}>
      <form onSubmit={submit} className="space-y-4">
        <TextField
          label={words.url}
          type="url"
          required
          autoFocus
          hint={words.urlHint}
          placeholder="https://hooks.example.com/agentcontainer"
          value={url}
          error={faultOf(send.error, "url")}
          onChange={(event) => setUrl(event.target.value)}
        />
        <Events events={events} onChange={setEvents} />
        <TextField
          label={words.description}
          value={description}
          error={faultOf(send.error, "description")}
          onChange={(event) => setDescription(event.target.value)}
        />
        <ErrorNote error={send.error} />
        <div className="flex justify-end gap-2">
          <Button type="submit" kind="primary" disabled={send.isPending || events.length === 0}>
            {webhook ? words.save : words.create}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Events(props: { events: WebhookEvent[]; onChange: (events: WebhookEvent[]) => void }) {
  const isAll = props.events.includes("*");
  const toggle = (event: WebhookEvent) =>
    props.onChange(
      props.events.includes(event) ? props.events.filter((each) => each !== event) : [...props.events, event],
    );
  return (
    <fieldset>
      <legend className="mb-1 font-medium">{words.events}</legend>
      <label className="flex items-center gap-2">
        <input
          type="checkbox"
          checked={isAll}
          onChange={() => props.onChange(isAll ? ["task.finished", "task.failed"] : ["*"])}
        />
        {words.allEvents}
      </label>
      {!isAll && (
        <div className="mt-2 grid gap-1 sm:grid-cols-2">
          {EVENTS.map((event) => (
            <label key={event} className="flex items-center gap-2 font-mono text-[12.5px]">
              <input type="checkbox" checked={props.events.includes(event)} onChange={() => toggle(event)} />
              {event}
            </label>
          ))}
        </div>
      )}
    </fieldset>
  );
}
