import { setPrefs, usePrefs } from "@/prefs";
import { Dialog } from "@/widgets/Dialogs";
import { SwitchField } from "@/widgets/Fields";
import { words } from "@/words";

export function Help(props: { isOpen: boolean; onClose: () => void }) {
  const { singleKeys } = usePrefs();
  return (
    <Dialog isOpen={props.isOpen} onClose={props.onClose} title={words.keys.title}>
      <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5">
        {words.keys.list.map(([keys, does]) => (
          <div key={keys} className="contents">
            <dt>
              <kbd className="font-mono text-[12.5px]">{keys}</kbd>
            </dt>
            <dd className="text-soft">{does}</dd>
          </div>
        ))}
      </dl>
      <div className="mt-4">
        <SwitchField
          label={words.keys.switch}
          isOn={singleKeys}
          onChange={(isOn) => setPrefs({ singleKeys: isOn })}
        />
      </div>
    </Dialog>
  );
}
