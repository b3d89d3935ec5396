import { useState } from "react";
import { Code } from "@/content/Code";
import { Tabs } from "@/widgets/Tabs";
import { VERIFY } from "./verify";

/** How a receiver verifies a request, in several languages. */
export function Verify() {
  const [language, setLanguage] = useState("Python");
  return (
    <Tabs
      value={language}
      onChange={setLanguage}
      tabs={VERIFY.map(([name, syntax, text]) => ({
        value: name,
        label: name,
        content: (
          <div className="pt-2">
            <Code language={syntax} text={text} />
          </div>
        ),
      }))}
    />
  );
}
