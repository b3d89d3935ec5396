/** Form fields. Their state is the form's own: live data never touches what somebody types. */
import { Switch } from "@base-ui/react/switch";
import {
  type InputHTMLAttributes,
  type ReactNode,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
  useId,
} from "react";

export const INPUT =
  "w-full rounded-md border border-line bg-panel px-2.5 py-1.5 placeholder:text-soft disabled:opacity-60 aria-[invalid=true]:border-red";

type Around = { label: ReactNode; hint?: ReactNode; error?: string | null; isLabelHidden?: boolean };

function Labelled(props: Around & { id: string; children: ReactNode }) {
  return (
    <div className="space-y-1">
      <label htmlFor={props.id} className={props.isLabelHidden ? "sr-only" : "block font-medium"}>
        {props.label}
      </label>
      {props.children}
      {props.hint && (
        <p id={`${props.id}-hint`} className="text-[13px] text-soft">
          {props.hint}
        </p>
      )}
      {props.error && (
        <p id={`${props.id}-error`} role="alert" className="text-[13px] text-red">
          {props.error}
        </p>
      )}
    </div>
  );
}

function described(id: string, props: Around) {
  const ids = [props.hint ? `${id}-hint` : "", props.error ? `${id}-error` : ""].filter(Boolean).join(" ");
  return { "aria-describedby": ids || undefined, "aria-invalid": props.error ? true : undefined };
}

export function TextField({
  label,
  hint,
  error,
  isLabelHidden,
  ...rest
}: Around & InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  const around = { label, hint, error, isLabelHidden };
  return (
    <Labelled {...around} id={id}>
      <input {...rest} {...described(id, around)} id={id} className={`${INPUT} ${rest.className ?? ""}`} />
    </Labelled>
  );
}

export function TextArea({
  label,
  hint,
  error,
  isLabelHidden,
  ...rest
}: Around & TextareaHTMLAttributes<HTMLTextAreaElement>) {
  const id = useId();
  const around = { label, hint, error, isLabelHidden };
  return (
    <Labelled {...around} id={id}>
      <textarea {...rest} {...described(id, around)} id={id} className={`${INPUT} ${rest.className ?? ""}`} />
    </Labelled>
  );
}

export function SelectField({
  label,
  hint,
  error,
  isLabelHidden,
  children,
  ...rest
}: Around & SelectHTMLAttributes<HTMLSelectElement>) {
  const id = useId();
  const around = { label, hint, error, isLabelHidden };
  return (
    <Labelled {...around} id={id}>
      <select {...rest} {...described(id, around)} id={id} className={`${INPUT} ${rest.className ?? ""}`}>
        {children}
      </select>
    </Labelled>
  );
}

export function SwitchField(props: {
  label: ReactNode;
  isOn: boolean;
  onChange: (isOn: boolean) => void;
  disabled?: boolean;
}) {
  const id = useId();
  return (
    <div className="flex items-center gap-2">
      <Switch.Root
        aria-labelledby={id}
        checked={props.isOn}
        disabled={props.disabled}
        onCheckedChange={props.onChange}
        className="relative h-5 w-9 shrink-0 rounded-full border border-line bg-sunk data-[checked]:bg-accent"
      >
        <Switch.Thumb className="block size-4 translate-x-0.5 rounded-full bg-panel shadow transition-transform data-[checked]:translate-x-4" />
      </Switch.Root>
      <span id={id}>{props.label}</span>
    </div>
  );
}
