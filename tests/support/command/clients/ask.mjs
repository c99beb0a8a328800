// ask.mjs METHOD URL ...: ask one after the other and print each answer as JSON, one a line.
//
// A URL that is only a path goes to ANTHROPIC_BASE_URL. POST asks for the message of a seed as a
// stream of events, whose first block is of text.
const seed = 1;
const words = process.argv.slice(2);

async function ask(method, url) {
  const body = JSON.stringify({ model: "fake-1", max_tokens: 1000, seed, stream: true });
  const post = { body, headers: { "content-type": "application/json" } };
  const whole = url.startsWith("/") ? process.env.ANTHROPIC_BASE_URL + url : url;
  const answer = await fetch(whole, { method, ...(method === "POST" ? post : {}) });
  const retry = answer.headers.get("x-should-retry");
  return { status: answer.status, retry, text: await answer.text() };
}

while (words.length > 0) {
  const [method, url] = words.splice(0, 2);
  try {
    console.log(JSON.stringify(await ask(method, url)));
  } catch (error) {
    console.log(JSON.stringify({ error: error.cause?.code ?? error.code ?? error.message }));
  }
}
