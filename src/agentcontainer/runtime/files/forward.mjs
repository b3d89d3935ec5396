// Loaded into Pi's process by `node --import`. Pi speaks HTTP over TCP only, and a sandbox has no network. So this module
// listens on the sandbox's loopback, and connects every client to the gateway's Unix socket.
import { once } from "node:events";
import net from "node:net";
import { isMainThread } from "node:worker_threads";

const PORT = 8090;
const GATEWAY = "/run/agentcontainer/gateway.sock";

function forward(client) {
  const gateway = net.connect({ path: GATEWAY, allowHalfOpen: true });
  for (const [from, to] of [
    [client, gateway],
    [gateway, client],
  ]) {
    from.unref(); // an idle connection must not keep Pi from exiting
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroySoon());
    from.pipe(to);
  }
}

// Worker threads and forked children of Pi load this file too, and use the listener that exists already.
if (isMainThread) {
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, forward);
  server.listen(PORT, "127.0.0.1");
  server.unref();
  try {
    await once(server, "listening");
  } catch (error) {
    if (error.code !== "EADDRINUSE") throw error;
  }
  server.on("error", (error) => process.stderr.write(`forward: ${error.message}\n`));
}
