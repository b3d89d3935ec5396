import { useQuery } from "@tanstack/react-query";
import { api, data } from "@/api/client";
import { accountQuery } from "@/api/queries";
import { Download } from "@/content/Download";
import { Name } from "@/content/Text";
import { Size } from "@/parts/Amounts";
import { Page, Table } from "@/parts/Page";
import { Empty, Loaded } from "@/parts/States";
import { Time } from "@/parts/Time";
import { words } from "./words";

export function Files() {
  const account = useQuery(accountQuery);
  const files = useQuery({
    queryKey: ["live", "files"],
    queryFn: () => data(api.GET("/api/v1/files", { params: { query: { limit: 100 } } })),
  });
  const storage = account.data?.fileStorage;
  return (
    <Page
      title={words.title}
      actions={
        storage && (
          <span className="text-soft">
            <Size bytes={storage.usedBytes} /> {words.of} <Size bytes={storage.quotaBytes} />
          </span>
        )
      }
    >
      <Loaded query={files}>
        {(page) =>
          page.data.length === 0 ? (
            <Empty title={words.empty}>{words.emptyText}</Empty>
          ) : (
            <Table
              label={words.title}
              rows={page.data}
              id={(file) => file.id}
              columns={[
                { title: "Name", cell: (file) => <Name text={file.filename} className="font-medium" /> },
                { title: "Type", cell: (file) => <Name text={file.contentType} className="text-soft" /> },
                { title: "Size", isRight: true, cell: (file) => <Size bytes={file.sizeBytes} /> },
                { title: "Created", cell: (file) => <Time at={file.createdAt} className="text-soft" /> },
                { title: "Download", cell: (file) => <Download fileId={file.id} filename={file.filename} /> },
              ]}
            />
          )
        }
      </Loaded>
    </Page>
  );
}
