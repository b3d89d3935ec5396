/** All routes. Each screen is a folder with its component, loaded when it is first opened, and what its URL may say. */
import {
  createRootRoute,
  createRoute,
  createRouter,
  type ErrorComponentProps,
  lazyRouteComponent,
  Outlet,
} from "@tanstack/react-router";
import { ErrorState, NotFound, Skeleton } from "./parts/States";
import * as agents from "./screens/agents/search";
import * as cliApprove from "./screens/cliApprove/search";
import * as conversation from "./screens/conversation/search";
import * as files from "./screens/files/search";
import * as installation from "./screens/installation/search";
import * as keys from "./screens/keys/search";
import * as login from "./screens/login/search";
import * as newTask from "./screens/newTask/search";
import * as run from "./screens/run/search";
import * as tasks from "./screens/tasks/search";
import * as usage from "./screens/usage/search";
import * as webhooks from "./screens/webhooks/search";
import { Shell } from "./shell/Shell";
import { parseSearch, stringifySearch } from "./shell/search";

const root = createRootRoute({ component: Outlet, notFoundComponent: NotFound });
const shell = createRoute({ getParentRoute: () => root, id: "shell", component: Shell });

const loginRoute = createRoute({
  getParentRoute: () => root,
  path: "/login",
  validateSearch: login.validate,
  component: lazyRouteComponent(() => import("./screens/login/Login"), "Login"),
});
const overviewRoute = createRoute({
  getParentRoute: () => shell,
  path: "/",
  component: lazyRouteComponent(() => import("./screens/overview/Overview"), "Overview"),
});
const tasksRoute = createRoute({
  getParentRoute: () => shell,
  path: "/tasks",
  validateSearch: tasks.validate,
  component: lazyRouteComponent(() => import("./screens/tasks/Tasks"), "Tasks"),
});
const newTaskRoute = createRoute({
  getParentRoute: () => shell,
  path: "/tasks/new",
  validateSearch: newTask.validate,
  component: lazyRouteComponent(() => import("./screens/newTask/NewTask"), "NewTask"),
});
const runRoute = createRoute({
  getParentRoute: () => shell,
  path: "/tasks/$taskId",
  validateSearch: run.validate,
  component: lazyRouteComponent(() => import("./screens/run/Run"), "Run"),
});
const conversationsRoute = createRoute({
  getParentRoute: () => shell,
  path: "/conversations",
  validateSearch: conversation.validateList,
  component: lazyRouteComponent(() => import("./screens/conversation/Conversations"), "Conversations"),
});
const conversationRoute = createRoute({
  getParentRoute: () => shell,
  path: "/conversations/$taskId",
  validateSearch: conversation.validate,
  component: lazyRouteComponent(() => import("./screens/conversation/Conversation"), "Conversation"),
});
const filesRoute = createRoute({
  getParentRoute: () => shell,
  path: "/files",
  validateSearch: files.validate,
  component: lazyRouteComponent(() => import("./screens/files/Files"), "Files"),
});
const agentsRoute = createRoute({
  getParentRoute: () => shell,
  path: "/agents",
  validateSearch: agents.validateList,
  component: lazyRouteComponent(() => import("./screens/agents/Agents"), "Agents"),
});
const agentRoute = createRoute({
  getParentRoute: () => shell,
  path: "/agents/$agentId",
  validateSearch: agents.validate,
  component: lazyRouteComponent(() => import("./screens/agents/AgentPage"), "AgentPage"),
});
const usageRoute = createRoute({
  getParentRoute: () => shell,
  path: "/usage",
  validateSearch: usage.validate,
  component: lazyRouteComponent(() => import("./screens/usage/Usage"), "Usage"),
});
const keysRoute = createRoute({
  getParentRoute: () => shell,
  path: "/keys",
  validateSearch: keys.validate,
  component: lazyRouteComponent(() => import("./screens/keys/Keys"), "Keys"),
});
const webhooksRoute = createRoute({
  getParentRoute: () => shell,
  path: "/webhooks",
  validateSearch: webhooks.validateList,
  component: lazyRouteComponent(() => import("./screens/webhooks/Webhooks"), "Webhooks"),
});
const webhookRoute = createRoute({
  getParentRoute: () => shell,
  path: "/webhooks/$webhookId",
  validateSearch: webhooks.validate,
  component: lazyRouteComponent(() => import("./screens/webhooks/WebhookPage"), "WebhookPage"),
});
const installationRoute = createRoute({
  getParentRoute: () => shell,
  path: "/installation",
  validateSearch: installation.validate,
  component: lazyRouteComponent(() => import("./screens/installation/Installation"), "Installation"),
});
const cliApproveRoute = createRoute({
  getParentRoute: () => shell,
  path: "/cli/approve",
  validateSearch: cliApprove.validate,
  component: lazyRouteComponent(() => import("./screens/cliApprove/CliApprove"), "CliApprove"),
});

const routeTree = root.addChildren([
  loginRoute,
  shell.addChildren([
    overviewRoute,
    tasksRoute,
    newTaskRoute,
    runRoute,
    conversationsRoute,
    conversationRoute,
    filesRoute,
    agentsRoute,
    agentRoute,
    usageRoute,
    keysRoute,
    webhooksRoute,
    webhookRoute,
    installationRoute,
    cliApproveRoute,
  ]),
]);

export function newRouter() {
  return createRouter({
    routeTree,
    parseSearch,
    stringifySearch,
    search: { strict: true },
    scrollRestoration: true,
    scrollToTopSelectors: ["#content"],
    defaultPreload: "intent",
    defaultPendingComponent: Skeleton,
    defaultNotFoundComponent: NotFound,
    defaultErrorComponent: Failed,
  });
}

function Failed(props: ErrorComponentProps) {
  return <ErrorState error={props.error} onRetry={() => location.reload()} />;
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof newRouter>;
  }
}
