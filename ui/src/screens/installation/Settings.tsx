import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Name } from "@/content/Text";
import { Table } from "@/parts/Page";
import { Empty, Loaded } from "@/parts/States";
import { TextField } from "@/widgets/Fields";
import { settingsQuery } from "./queries";
import { words } from "./words";

export function Settings() {
  const query = useQuery(settingsQuery);
  const [text, setText] = useState("");
  const [isChangedOnly, setChangedOnly] = useState(false);
  return (
    <Loaded query={query}>
      {(list) => {
        const wanted = text.trim().toLowerCase();
        const rows = list.data.filter(
          (setting) =>
            setting.name.toLowerCase().includes(wanted) && !(isChangedOnly && setting.source === "default"),
        );
        return (
          <div className="space-y-3">
            <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
              <div className="min-w-48 flex-1 sm:max-w-sm">
                <TextField
                  isLabelHidden
                  label={words.find}
                  placeholder={words.find}
                  type="search"
                  value={text}
                  onChange={(event) => setText(event.target.value)}
                />
              </div>
              <label className="flex items-center gap-2">
                <input
                  type="checkbox"
                  checked={isChangedOnly}
                  onChange={() => setChangedOnly(!isChangedOnly)}
                />
                {words.changedOnly}
              </label>
            </div>
            {rows.length === 0 ? (
              <Empty title={words.noSetting} />
            ) : (
              <Table
                label={words.tabs.settings}
                rows={rows}
                id={(setting) => setting.name}
                columns={[
                  {
                    title: words.setting,
                    cell: (setting) => <span className="font-mono text-[12.5px]">{setting.name}</span>,
                  },
                  {
                    title: words.value,
                    cell: (setting) =>
                      setting.value === null ? (
                        <span className="text-soft">{words.unset}</span>
                      ) : (
                        <Name text={setting.value} className="font-mono text-[12.5px] break-all" />
                      ),
                  },
                  {
                    title: words.source,
                    cell: (setting) => <Name text={setting.source} className="break-all text-soft" />,
                  },
                ]}
              />
            )}
          </div>
        );
      }}
    </Loaded>
  );
}
