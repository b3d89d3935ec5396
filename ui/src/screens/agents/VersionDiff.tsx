/** Two versions compared: the prompt by line and word, the settings as two columns, files and skills. */
import { useQuery } from "@tanstack/react-query";
import { fileQuery } from "@/api/queries";
import { Diff } from "@/content/Diff";
import { Name } from "@/content/Text";
import { valueText } from "@/execution/values";
import { words as settingWords } from "@/execution/words";
import { type Comparable, differences, listedChange, settingRows } from "./form";
import { words } from "./words";

export function VersionDiff(props: { before: Comparable; after: Comparable }) {
  const { before, after } = props;
  const settings = settingRows(before, after).filter(({ isChanged }) => isChanged);
  if (differences(before, after).length === 0) return <p className="text-soft">{words.same}</p>;
  return (
    <div className="space-y-4">
      {before.basePrompt !== after.basePrompt && (
        <section>
          <h3 className="mb-1 font-medium">{words.prompt}</h3>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it */}
          <div tabIndex={0} className="max-h-[50vh] overflow-y-auto rounded-md border border-line">
            <Diff before={before.basePrompt} after={after.basePrompt} label={words.prompt} />
          </div>
        </section>
      )}
      {settings.length > 0 && (
        <section>
          <h3 className="mb-1 font-medium">{words.defaults}</h3>
          <table className="w-full table-fixed text-left">
            <thead className="text-[13px] text-soft">
              <tr>
                <th scope="col" className="py-1 pr-2 font-medium">
                  {words.setting}
                </th>
                <th scope="col" className="py-1 pr-2 font-medium">
                  {before.label}
                </th>
                <th scope="col" className="py-1 font-medium">
                  {after.label}
                </th>
              </tr>
            </thead>
            <tbody>
              {settings.map((row) => (
                <tr key={row.name} className="border-t border-line align-top">
                  <th scope="row" className="py-1 pr-2 font-normal text-soft">
                    {row.name === "image" ? words.image : (settingWords.settings[row.name] ?? row.name)}
                  </th>
                  <td className="bg-red-soft px-2 py-1">
                    <Name text={textOf(row.name, row.before)} />
                  </td>
                  <td className="bg-green-soft px-2 py-1">
                    <Name text={textOf(row.name, row.after)} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      <Listed title={words.references} before={before.references} after={after.references} />
      <Listed title={words.skills} before={before.skills} after={after.skills} />
    </div>
  );
}

/** A policy is written out where two have the same short form. */
function textOf(name: string, value: unknown): string {
  if (name === "outputPolicy" && value !== null && (value as { mode?: string }).mode === "named")
    return JSON.stringify(value);
  if (name === "weakModel" || name === "image") return value === null ? "—" : String(value);
  return value === null ? words.reset : valueText(name, value);
}

function Listed(props: { title: string; before: readonly string[]; after: readonly string[] }) {
  const { added, removed, kept } = listedChange(props.before, props.after);
  if (added.length + removed.length === 0) return null;
  return (
    <section>
      <h3 className="mb-1 font-medium">{props.title}</h3>
      <ul className="space-y-0.5">
        {removed.map((id) => (
          <li key={id} className="bg-red-soft px-2">
            − <FileName id={id} /> <span className="sr-only">{words.removed}</span>
          </li>
        ))}
        {added.map((id) => (
          <li key={id} className="bg-green-soft px-2">
            + <FileName id={id} /> <span className="sr-only">{words.added}</span>
          </li>
        ))}
        {kept > 0 && <li className="px-2 text-soft">{words.kept(kept)}</li>}
      </ul>
    </section>
  );
}

function FileName(props: { id: string }) {
  const file = useQuery(fileQuery(props.id)).data;
  return <Name text={file?.filename ?? props.id} />;
}
