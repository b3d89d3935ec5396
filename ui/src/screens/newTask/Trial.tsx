/** What the task will run with, each value with the layer that decided it; what is set aside; and the request as code. */
import { useState } from "react";
import type { DispatchRequest } from "@/api/types";
import { Code } from "@/content/Code";
import { valueText } from "@/execution/values";
import { words as settingWords } from "@/execution/words";
import { Money } from "@/parts/Amounts";
import { Copyable } from "@/parts/Copyable";
import { Panel } from "@/parts/Page";
import { Tabs } from "@/widgets/Tabs";
import { formsOf } from "./forms";
import type { Trial } from "./trial";
import { words } from "./words";

export function TrialPanel(props: { trial: Trial | undefined; isStale: boolean; general: string[] }) {
  const { trial } = props;
  return (
    <Panel title={words.runsWith}>
      <div className={`space-y-3 p-4 ${props.isStale ? "opacity-60" : ""}`} aria-busy={props.isStale}>
        {props.general.map((message) => (
          <p key={message} role="alert" className="rounded-md bg-red-soft px-3 py-2 text-red">
            {message}
          </p>
        ))}
        {trial === undefined ? (
          <p className="text-soft">{words.trialEmpty}</p>
        ) : (
          <>
            {trial.execution === null ? (
              <p className="text-soft">{words.unknown}</p>
            ) : (
              <table className="w-full text-left">
                <tbody>
                  {Object.entries(trial.execution).map(([name, { value, from }]) => (
                    <tr key={name} className="align-top">
                      <th scope="row" className="py-0.5 pr-2 font-normal text-soft">
                        {settingWords.settings[name] ?? name}
                      </th>
                      <td className="py-0.5 pr-2">{valueText(name, value)}</td>
                      <td
                        className={`py-0.5 text-right text-[12px] whitespace-nowrap ${from === "task" ? "font-medium text-accent" : "text-soft"}`}
                      >
                        {words.from[from]}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
            <dl className="grid grid-cols-[1fr_auto] gap-y-1 border-t border-line pt-3">
              <dt className="text-soft">{words.hold}</dt>
              <dd className="text-right">
                <Money usd={trial.holdUsd} />
              </dd>
              <dt className="text-soft">{words.balanceAfter}</dt>
              <dd className={`text-right ${trial.balanceAfterUsd < 0 ? "text-red" : ""}`}>
                <Money usd={trial.balanceAfterUsd} />
              </dd>
            </dl>
          </>
        )}
      </div>
    </Panel>
  );
}

/** The request as a program sends it; it follows the form. */
export function FormsPanel(props: { agentId: string; body: DispatchRequest }) {
  const [tab, setTab] = useState("curl");
  const forms = formsOf(props.agentId, props.body);
  const texts: [string, string, string][] = [
    ["curl", "curl", forms.curl],
    ["python", "Python", forms.python],
    ["cli", "CLI", forms.cli],
  ];
  return (
    <Panel title={words.copyForms}>
      <Tabs
        value={tab}
        onChange={setTab}
        tabs={texts.map(([value, label, text]) => ({
          value,
          label,
          content: (
            <div className="space-y-2 p-3">
              {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it */}
              <div className="max-h-64 overflow-y-auto" tabIndex={0}>
                <Code text={text} language={value === "python" ? "python" : "bash"} isBare />
              </div>
              <Copyable text={text} shown={`Copy as ${label}`} label={`as ${label}`} />
            </div>
          ),
        }))}
      />
    </Panel>
  );
}
