import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { liveTasksQuery } from "@/api/queries";
import { Name } from "@/content/Text";
import { Page, Table } from "@/parts/Page";
import { Empty, Loaded } from "@/parts/States";
import { Status } from "@/parts/Status";
import { Time } from "@/parts/Time";
import { words } from "./words";

export function Conversations() {
  const query = useQuery(liveTasksQuery("conversations", { mode: "conversation" }, 50));
  return (
    <Page title={words.title}>
      <Loaded query={query}>
        {(page) =>
          page.data.length === 0 ? (
            <Empty title={words.empty}>{words.emptyText}</Empty>
          ) : (
            <Table
              label={words.title}
              rows={page.data}
              id={(task) => task.id}
              columns={[
                {
                  title: "Status",
                  cell: (task) => <Status status={task.status} completion={task.completion} />,
                },
                {
                  title: "Title",
                  cell: (task) => (
                    <Link
                      to="/conversations/$taskId"
                      params={{ taskId: task.id }}
                      data-row
                      className="font-medium after:absolute after:inset-0 hover:underline"
                    >
                      <Name text={task.title ?? words.untitled} />
                    </Link>
                  ),
                },
                { title: "Agent", cell: (task) => <Name text={task.agentName} className="text-soft" /> },
                { title: "Created", cell: (task) => <Time at={task.createdAt} className="text-soft" /> },
              ]}
            />
          )
        }
      </Loaded>
    </Page>
  );
}
