/** Stores the key of a provider, or an endpoint of the account's own. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, data, faultOf } from "@/api/client";
import type { ProviderKey } from "@/api/types";
import { ErrorNote } from "@/parts/States";
import { Button } from "@/widgets/Button";
import { Dialog } from "@/widgets/Dialogs";
import { SelectField, TextField } from "@/widgets/Fields";
import { words } from "./words";

/** In the URL, the dialog for an endpoint that has no name yet. */
export const NEW_ENDPOINT = "new-endpoint";

type Protocol = NonNullable<ProviderKey["api"]>;
const PROTOCOLS: Protocol[] = ["openai-completions", "openai-responses", "anthropic-messages"];

export function ProviderDialog(props: {
  name: string;
  isPlatform: boolean;
  stored: ProviderKey | undefined;
  onClose: () => void;
}) {
  const { stored, isPlatform } = props;
  const isNew = props.name === NEW_ENDPOINT;
  const queries = useQueryClient();
  const [name, setName] = useState(isNew ? "" : props.name);
  const [secret, setSecret] = useState("");
  const [baseUrl, setBaseUrl] = useState(stored?.baseUrl ?? "");
  const [protocol, setProtocol] = useState<Protocol>(stored?.api ?? "openai-completions");
  const [input, setInput] = useState(stored?.price ? String(stored.price.input) : "");
  const [output, setOutput] = useState(stored?.price ? String(stored.price.output) : "");
  const put = useMutation({
    mutationFn: () => {
      const hasPrice = input.trim() !== "" && output.trim() !== "";
      const endpoint = {
        baseUrl: baseUrl.trim(),
        api: protocol,
        price: hasPrice ? { input: Number(input), output: Number(output) } : null,
      };
      return data(
        api.PUT("/api/v1/provider-keys/{provider}", {
          params: { path: { provider: name.trim() } },
          body: { apiKey: secret.trim() || null, ...(isPlatform ? {} : endpoint) },
        }),
      );
    },
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ["provider-keys"] });
      props.onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    put.mutate();
  };
  return (
    <Dialog isOpen onClose={props.onClose} title={isNew ? words.addEndpoint : words.setOf(props.name)}>
      <form onSubmit={submit} className="space-y-4" autoComplete="off">
        {isNew && (
          <TextField
            label={words.endpointName}
            hint={words.endpointNameHint}
            required
            value={name}
            error={faultOf(put.error, "provider")}
            onChange={(event) => setName(event.target.value)}
          />
        )}
        {!isPlatform && (
          <>
            <TextField
              label={words.baseUrl}
              type="url"
              required
              placeholder="https://models.example.com/v1"
              value={baseUrl}
              error={faultOf(put.error, "baseUrl")}
              onChange={(event) => setBaseUrl(event.target.value)}
            />
            <SelectField
              label={words.protocol}
              value={protocol}
              error={faultOf(put.error, "api")}
              onChange={(event) => setProtocol(event.target.value as Protocol)}
            >
              {PROTOCOLS.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </SelectField>
          </>
        )}
        <TextField
          label={isPlatform ? words.providerKey : words.optionalKey}
          type="password"
          autoComplete="off"
          spellCheck={false}
          required={isPlatform}
          value={secret}
          error={faultOf(put.error, "apiKey")}
          onChange={(event) => setSecret(event.target.value)}
        />
        {!isPlatform && (
          <div className="grid gap-4 sm:grid-cols-2">
            <TextField
              label={words.inputPrice}
              type="number"
              min={0}
              step="any"
              hint={words.priceHint}
              value={input}
              error={faultOf(put.error, "price.input")}
              onChange={(event) => setInput(event.target.value)}
            />
            <TextField
              label={words.outputPrice}
              type="number"
              min={0}
              step="any"
              value={output}
              error={faultOf(put.error, "price.output")}
              onChange={(event) => setOutput(event.target.value)}
            />
          </div>
        )}
        <ErrorNote error={put.error} />
        <div className="flex justify-end">
          <Button type="submit" kind="primary" disabled={put.isPending}>
            {words.save}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
