// The order "fetch" by this runtime's own fetch and its pool; for Node and for Bun.
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

function tell(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

async function get({ id, url }) {
  const hash = createHash("sha256");
  let size = 0;
  let error = null;
  let last = Date.now();
  try {
    const answer = await fetch(url, { timeout: false });
    for await (const piece of answer.body) {
      size += piece.length;
      hash.update(piece);
      if (size === piece.length) tell({ id, started: true });
      else if (Date.now() - last > 3000) tell({ id, resumed: true });
      last = Date.now();
    }
    if (answer.status !== 200) error = `status ${answer.status}`;
  } catch (raised) {
    error = `${raised.name} ${raised.code ?? raised.cause?.code ?? raised.message}`;
  }
  tell({ id, error, size, sha256: hash.digest("hex") });
}

tell({ ready: true });
for await (const line of createInterface({ input: process.stdin })) get(JSON.parse(line));
process.exit(0);
