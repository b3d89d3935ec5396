import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const API = process.env.AGENTCONTAINER_URL ?? "http://127.0.0.1:8080";

/** The script that sets the theme before the first paint. It blocks, so it is a file of its own, not a module. */
function themeScript(): Plugin {
  const source = readFileSync(join(import.meta.dirname, "src/theme.js"), "utf8");
  const name = `assets/theme-${createHash("sha256").update(source).digest("hex").slice(0, 8)}.js`;
  let isBuild = false;
  return {
    name: "theme-script",
    configResolved(config) {
      isBuild = config.command === "build";
    },
    generateBundle() {
      this.emitFile({ type: "asset", fileName: name, source });
    },
    transformIndexHtml: () => [
      { tag: "script", attrs: { src: isBuild ? `/${name}` : "/src/theme.js" }, injectTo: "head-prepend" },
    ],
  };
}

/** The licences of the packages whose code is in the bundle. */
function licences(): Plugin {
  return {
    name: "licences",
    apply: "build",
    generateBundle() {
      const folders = new Set<string>();
      for (const id of this.getModuleIds()) {
        const match = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id.replace(/^\0/, ""));
        if (match?.[1] && existsSync(join(match[1], "package.json"))) folders.add(match[1]);
      }
      const texts = [...folders].sort().map(licenceOf);
      this.emitFile({
        type: "asset",
        fileName: "THIRD-PARTY-LICENSES.txt",
        source: texts.join(`\n${"-".repeat(80)}\n\n`),
      });
    },
  };
}

function licenceOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  return `${name} ${version} (${license})\n\n${file ? readFileSync(join(folder, file), "utf8").trim() : ""}\n`;
}

export default defineConfig({
  plugins: [react(), tailwindcss(), themeScript(), licences()],
  resolve: { alias: { "@": join(import.meta.dirname, "src") } },
  build: {
    outDir: join(dirname(import.meta.dirname), "src/agentcontainer/dashboard/static"),
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    sourcemap: false,
    chunkSizeWarningLimit: 1200,
  },
  server: {
    port: 5173,
    strictPort: true,
    proxy: Object.fromEntries(
      ["/api/", "/session", "/preview/", "/uploads/", "/wake/"].map((path) => [
        `^${path}`,
        { target: API, changeOrigin: false },
      ]),
    ),
  },
  test: { include: ["src/**/*.test.ts", "src/**/*.test.tsx"], environment: "node" },
});
