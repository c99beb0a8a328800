// fetch.mjs URL COUNT: fetch URL/0, URL/1 ... at once; print the answers in order, one a line.
const [url, count] = process.argv.slice(2);
const numbers = Array.from({ length: Number(count) }, (_, number) => number);
const answers = await Promise.all(
  numbers.map(async (number) => (await fetch(`${url}/${number}`)).text()),
);
console.log(answers.join("\n"));
