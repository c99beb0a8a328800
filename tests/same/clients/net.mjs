// Node's own ways to connect: `net.mjs connect HOST PORT` by net, `fetch URL` by fetch, `lookup NAME` by
// libc, `resolve NAME` and `texts NAME` by c-ares.
import dns from "node:dns/promises";
import net from "node:net";

const [what, host, port] = process.argv.slice(2);

function connect() {
  return new Promise((done, failed) => {
    const socket = net.connect({ host, port: Number(port), family: 4 });
    socket.on("connect", () => socket.destroy() && done("connected"));
    socket.on("error", failed);
  });
}

async function get() {
  const answer = await fetch(host);
  return `${answer.status} ${await answer.text()}`;
}

const ways = { connect, fetch: get, lookup: async () => (await dns.lookup(host)) && "found" };
ways.resolve = async () => (await dns.resolve4(host)) && "found";
ways.texts = async () => (await dns.resolveTxt(host)).flat().join(" ");
try {
  console.log("said:", await ways[what]());
} catch (error) {
  console.log("said:", (error.cause ?? error).code ?? String(error));
  process.exitCode = 1;
}
