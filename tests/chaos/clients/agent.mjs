// The real client's rules (docs/chaos.md, row 18) over this runtime's own fetch; for Bun.
//
// ask   POST for a message; with `stream` as events. It is retried while no answer has begun (connection
//       errors, 408, 409, 429, 5xx, unless x-should-retry says false); a stream that is lost before any
//       block was finished is asked for once more as one document; any other loss is fatal, and a clean
//       end after a finished block goes unnoticed.
// send  any request, once, with no rules at all.
//
// Each attempt's x-request-key is the order's key, a dot and its number.
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

const MOST_RETRIES = 10;
const CLOSED = "The socket connection was closed unexpectedly";

class Fatal extends Error {}
class Lost extends Error {}

function tell(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

// What became of one order; told at its end.
class Account {
  retries = 0;
  fallbacks = 0;
  pings = 0;
  attempts = 0;
  statuses = [];
  events = []; // types of error events
  first = null; // ms from the first request to the first content_block_delta
  content_at = null; // Date.now() of the first content that the attempt `content_key` was given
  content_key = null;
  first_at = null; // when `first` was, in ms since the epoch, with fractions
  raw = null; // SHA-256 of the last stream without its pings
  digest = null;
  #began = performance.now();

  delta() {
    if (this.first !== null) return;
    const now = performance.now();
    this.first = now - this.#began;
    this.first_at = performance.timeOrigin + now;
  }

  content(key) {
    if (this.content_key === key) return;
    this.content_at = Date.now();
    this.content_key = key;
  }
}

// A timer that is wound up again at each sign of life; at its end it aborts the request.
class Watchdog {
  #controller = new AbortController();
  #timer;

  constructor(seconds) {
    this.rewind(seconds);
  }

  get signal() {
    return this.#controller.signal;
  }

  rewind(seconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#controller.abort(), seconds * 1000);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

function isRetried(answer) {
  const wanted = answer.headers.get("x-should-retry");
  if (wanted !== null) return wanted === "true";
  return [408, 409, 429].includes(answer.status) || answer.status >= 500;
}

async function begin(order, account, stream) {
  const key = `${order.key}.${account.attempts++}`;
  const watchdog = new Watchdog(order.headers_within ?? 600);
  const body = JSON.stringify({ model: "fake-1", max_tokens: 1000, seed: order.seed, stream });
  const headers = { "content-type": "application/json", ...order.headers, "x-request-key": key };
  const init = { method: "POST", headers, body, signal: watchdog.signal, timeout: false };
  const answer = await fetch(order.url, init);
  account.statuses.push(answer.status);
  return { key, answer, watchdog };
}

// Ask until an answer begins: nothing of it was used before, so nothing is lost by another try.
async function request(order, account, stream) {
  for (let pause = order.pause ?? 500; ; pause = Math.min(pause * 2, order.longest_pause ?? 35000)) {
    let why;
    try {
      const begun = await begin(order, account, stream);
      if (begun.answer.ok) return begun;
      begun.watchdog.stop();
      await begun.answer.text().catch(() => "");
      why = `status ${begun.answer.status}`;
      if (!isRetried(begun.answer)) throw new Fatal(why);
    } catch (raised) {
      if (raised instanceof Fatal) throw raised;
      why = reason(raised);
    }
    if (account.retries >= MOST_RETRIES) throw new Fatal(why);
    account.retries += 1;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function reason(raised) {
  return `${raised.name} ${raised.code ?? raised.message}`;
}

// The bytes of each event, its blank line included; what comes after the last one is no event.
// latin1 keeps every byte a character.
async function* events(body) {
  let rest = "";
  for await (const piece of body) {
    rest += Buffer.from(piece).toString("latin1");
    for (let end; (end = /\r?\n\r?\n/.exec(rest)); ) {
      const size = end.index + end[0].length;
      yield rest.slice(0, size);
      rest = rest.slice(size);
    }
  }
}

function parsed(raw) {
  const event = { name: "", data: [] };
  for (const line of Buffer.from(raw, "latin1").toString("utf8").split(/\r?\n/)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/su.exec(line);
    if (field === "event") event.name = value;
    if (field === "data") event.data.push(value);
  }
  return { name: event.name, data: event.data.length ? JSON.parse(event.data.join("\n")) : null };
}

// As in servers/api/messages.py, whatever the order of the fields was.
function essence({ type, thinking, signature, text, id, name, input }) {
  if (type === "thinking") return [type, thinking, signature];
  return type === "text" ? [type, text] : [type, id, name, input];
}

// A message that grows by its events.
class Message {
  finished = 0; // blocks
  isComplete = false;
  #id = null;
  #reason = null;
  #blocks = [];
  #json = "";

  static from(document) {
    const message = new Message();
    message.#id = document.id;
    message.#reason = document.stop_reason;
    message.#blocks = document.content;
    return message;
  }

  take(data) {
    const block = this.#blocks.at(-1);
    switch (data.type) {
      case "message_start":
        this.#id = data.message.id;
        break;
      case "content_block_start":
        this.#blocks.push({ ...data.content_block });
        this.#json = "";
        break;
      case "content_block_delta":
        this.#grow(block, data.delta);
        break;
      case "content_block_stop":
        if (block.type === "tool_use") block.input = JSON.parse(this.#json || "{}");
        this.finished += 1;
        break;
      case "message_delta":
        this.#reason = data.delta.stop_reason;
        break;
      case "message_stop":
        this.isComplete = true;
    }
  }

  #grow(block, delta) {
    if (delta.type === "thinking_delta") block.thinking += delta.thinking;
    if (delta.type === "signature_delta") block.signature += delta.signature;
    if (delta.type === "text_delta") block.text += delta.text;
    if (delta.type === "input_json_delta") this.#json += delta.partial_json;
  }

  digest() {
    const said = [this.#id, this.#reason, ...this.#blocks.map(essence)];
    return createHash("sha256").update(JSON.stringify(said)).digest("hex");
  }
}

// Read a stream into `message`; every way in which it ends too early is Lost.
async function read({ key, answer, watchdog }, order, account, message) {
  const raw = createHash("sha256");
  try {
    watchdog.rewind(order.silence ?? 300);
    for await (const event of events(answer.body)) {
      watchdog.rewind(order.silence ?? 300);
      const { name, data } = parsed(event);
      if (name === "ping") {
        account.pings += 1;
        continue;
      }
      raw.update(Buffer.from(event, "latin1"));
      if (data === null) continue;
      if (data.type === "error") {
        account.events.push(data.error.type);
        throw new Lost(data.error.type);
      }
      if (data.type.startsWith("content_block")) account.content(key);
      if (data.type === "content_block_delta") account.delta();
      message.take(data);
    }
  } catch (raised) {
    if (message.isComplete) return;
    throw raised instanceof Lost ? raised : new Lost(reason(raised));
  } finally {
    watchdog.stop();
    account.raw = raw.digest("hex");
  }
}

async function streamed(order, account) {
  const begun = await request(order, account, true);
  const message = new Message();
  try {
    await read(begun, order, account, message);
    if (!message.isComplete && !message.finished) throw new Lost("a clean end");
  } catch (raised) {
    if (message.finished) throw new Fatal(`${CLOSED}: ${raised.message}`);
    account.fallbacks += 1;
    return document(order, account);
  }
  account.digest = message.digest();
  return message.isComplete ? "ok" : "silently wrong";
}

async function document(order, account) {
  const { key, answer, watchdog } = await request(order, account, false);
  watchdog.rewind(order.headers_within ?? 600);
  try {
    account.digest = Message.from(JSON.parse(await answer.text())).digest();
  } catch (raised) {
    throw new Fatal(`${CLOSED}: ${reason(raised)}`);
  } finally {
    watchdog.stop();
  }
  account.content(key);
  return "ok";
}

async function ask(order) {
  const account = new Account();
  let outcome;
  let error = null;
  try {
    outcome = await (order.stream ? streamed : document)(order, account);
  } catch (raised) {
    outcome = "fatal";
    error = reason(raised);
  }
  return { outcome, error, ...account };
}

async function send({ url, method, body, headers, key }) {
  try {
    const init = { method, body, headers: { ...headers, "x-request-key": `${key}.0` }, timeout: false };
    const answer = await fetch(url, init);
    return { error: null, status: answer.status, text: await answer.text() };
  } catch (raised) {
    return { error: reason(raised) };
  }
}

async function follow(order) {
  tell({ id: order.id, ...(await (order.do === "ask" ? ask : send)(order)) });
}

tell({ ready: true });
for await (const line of createInterface({ input: process.stdin })) follow(JSON.parse(line));
process.exit(0);
