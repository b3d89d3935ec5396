/** Uploads and the outputs of tasks, with a sheet for each file. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { api, data } from "@/api/client";
import { accountQuery } from "@/api/queries";
import type { FileEntry } from "@/api/types";
import { Name } from "@/content/Text";
import { Size } from "@/parts/Amounts";
import { bytes } from "@/parts/format";
import { Page, Table } from "@/parts/Page";
import { byCursor, Pages, pageOf } from "@/parts/Pages";
import { Empty } from "@/parts/States";
import { useMayWrite } from "@/parts/session";
import { Time } from "@/parts/Time";
import { buttonLook } from "@/widgets/Button";
import { FileSheet } from "./FileSheet";
import { Filters } from "./Filters";
import { Origin } from "./Origin";
import type { Search } from "./search";
import { words } from "./words";

const route = getRouteApi("/shell/files");
const REFRESH_MS = 15_000;

export function Files() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { task, kind, type, min } = search;
  const query = useInfiniteQuery({
    queryKey: ["files", task, kind, type, min],
    queryFn: ({ pageParam }) =>
      data(
        api.GET("/api/v1/files", {
          params: {
            query: {
              ...pageOf(pageParam),
              ...(task ? { taskId: task } : {}),
              ...(kind ? { kind } : {}),
              ...(type ? { contentType: type } : {}),
              ...(min ? { minSizeBytes: Number(min) } : {}),
            },
          },
        }),
      ),
    ...byCursor,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) < 3 ? REFRESH_MS : false),
  });
  return (
    <Page title={words.title} actions={<Quota />}>
      <Filters search={search} onChange={(next) => void navigate({ search: next, replace: true })} />
      <Pages query={query} empty={<Nothing isFiltered={Boolean(task || kind || type || min)} />}>
        {(files) => <List files={files} search={search} />}
      </Pages>
      {search.file && (
        <FileSheet
          fileId={search.file}
          onClose={() => void navigate({ search: ({ file: _, ...rest }) => rest, resetScroll: false })}
        />
      )}
    </Page>
  );
}

function Quota() {
  const account = useQuery(accountQuery);
  const storage = account.data?.fileStorage;
  if (!storage) return null;
  if (!storage.isEnforced)
    return <span className="text-soft">{words.unlimited(bytes(storage.usedBytes))}</span>;
  const share = storage.quotaBytes === 0 ? 1 : Math.min(1, storage.usedBytes / storage.quotaBytes);
  return (
    <div className="w-56 max-w-full text-[13px] text-soft">
      <p>{words.used(bytes(storage.usedBytes), bytes(storage.quotaBytes))}</p>
      <div
        role="progressbar"
        aria-label={words.quota}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(share * 100)}
        className="mt-1 h-1.5 overflow-hidden rounded-full bg-sunk"
      >
        <div
          className={`h-full rounded-full ${share > 0.9 ? "bg-red" : "bg-accent"}`}
          style={{ width: `${Math.max(share * 100, storage.usedBytes > 0 ? 1 : 0)}%` }}
        />
      </div>
      {share > 0.9 && <p className="mt-1 text-red">{words.almostFull}</p>}
    </div>
  );
}

function List(props: { files: FileEntry[]; search: Search }) {
  return (
    <Table
      label={words.title}
      rows={props.files}
      id={(file) => file.id}
      columns={[
        {
          title: words.columns.name,
          cell: (file) => (
            <Link
              to="/files"
              search={{ ...props.search, file: file.id }}
              resetScroll={false}
              data-row
              className="font-medium after:absolute after:inset-0 hover:underline"
            >
              <Name text={file.filename} className="break-all" />
            </Link>
          ),
        },
        { title: words.columns.from, cell: (file) => <Origin file={file} /> },
        {
          title: words.columns.type,
          isWideOnly: true,
          cell: (file) => <Name text={file.contentType} className="text-soft" />,
        },
        { title: words.columns.size, isRight: true, cell: (file) => <Size bytes={file.sizeBytes} /> },
        { title: words.columns.created, cell: (file) => <Time at={file.createdAt} className="text-soft" /> },
      ]}
    />
  );
}

function Nothing(props: { isFiltered: boolean }) {
  const mayWrite = useMayWrite();
  if (props.isFiltered)
    return (
      <Empty title={words.none}>
        <Link to="/files" className={buttonLook()}>
          {words.clear}
        </Link>
      </Empty>
    );
  return (
    <Empty title={words.empty}>
      <p>{words.emptyText}</p>
      {mayWrite && (
        <Link to="/tasks/new" className={buttonLook("primary")}>
          {words.upload}
        </Link>
      )}
    </Empty>
  );
}
