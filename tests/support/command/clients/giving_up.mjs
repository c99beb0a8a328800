// Begins to fetch URL and gives up, or is killed, at every moment; then fetches it and says the status.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const [url, role] = process.argv.slice(2);
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

if (role === "child") {
  process.stdout.write("begins\n");
  await fetch(url).then((answer) => answer.text(), () => {});
  process.exit(0);
}

// Killed: the kernel closes its connection for it.
for (let ms = 0; ms < 24; ms += 1) {
  const words = [fileURLToPath(import.meta.url), url, "child"];
  const child = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "ignore"] });
  const ended = once(child, "exit");
  await Promise.race([once(child.stdout, "data"), ended]);
  await later(ms / 2);
  child.kill("SIGKILL");
  await ended;
}

// Given up by itself.
for (let ms = 0; ms < 40; ms += 1) {
  const controller = new AbortController();
  const asked = fetch(url, { signal: controller.signal, keepalive: false }).catch(() => {});
  await later(ms / 4);
  controller.abort();
  await asked;
}

console.log((await fetch(url)).status);
