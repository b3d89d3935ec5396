import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { setOnLoggedOut } from "./api/client";
import { stopFeed } from "./api/feed";
import { newQueryClient, sessionQuery } from "./api/queries";
import { newRouter } from "./router";
import { Toasts } from "./widgets/Toasts";
import "./styles.css";

const queries = newQueryClient();
const router = newRouter();

setOnLoggedOut(() => {
  stopFeed();
  if (queries.getQueryData(sessionQuery.queryKey))
    void queries.resetQueries({ queryKey: sessionQuery.queryKey });
});

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <CSPProvider disableStyleElements>
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
        <Toasts />
      </QueryClientProvider>
    </CSPProvider>
  </StrictMode>,
);
