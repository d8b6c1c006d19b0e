// Calls the compiled helper once for each case below, with stand-ins for ctx.storage that really talk to a port: one that
// refuses, or a server of this file's. The helper logs to the standard streams; what each call came to goes to a file.
//
//   node drive.mjs COMPILED_HELPER RESULTS [convex]
//
// With `convex`, console arguments are printed as the command-line client prints what the Node executor rendered.
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { inspect } from "node:util";
import { pathToFileURL } from "node:url";

const [, , compiled, results, how] = process.argv;
const { readStoredBlob } = await import(pathToFileURL(compiled).href);

const SIZE = 2418;
const asked = [];
const server = createServer((request, response) => {
  const [, endpoint, id] = request.url.split("/");
  asked.push({ endpoint, id, authorization: request.headers.authorization ?? null });
  switch (endpoint) {
    case "storage":
    case "blob":
      return response.end(Buffer.alloc(SIZE, 7));
    case "broken":
      return request.socket.destroy();
    case "silent":
      return undefined;
    default:
      response.statusCode = Number(endpoint);
      return response.end("no");
  }
});
const port = await listen(server);
const origin = `http://127.0.0.1:${port}`;
// A port that was just given back refuses.
const spare = createServer();
const refusing = await listen(spare);
await new Promise((done) => spare.close(done));

function listen(on) {
  return new Promise((done) => on.listen(0, "127.0.0.1", () => done(on.address().port)));
}

/** Of a name with two addresses Node says only in the parts that nobody listens. */
async function twoAddresses(...urls) {
  const [one, other] = await Promise.all(urls.map((url) => get(url).catch((error) => error.cause)));
  const cause = Object.assign(new AggregateError([one, other], ""), { code: undefined });
  throw new TypeError("fetch failed", { cause });
}

/** What storage.get does: a request to the backend, and where an executor of today sends it, words of its own. */
async function get(url) {
  return await (await fetch(url)).blob();
}
async function reworded(url) {
  try {
    return await get(url);
  } catch (error) {
    throw new Error(`Transient network error running storage get url (${error.cause.code}, 5 attempts)`, { cause: error });
  }
}
async function withoutCause(url) {
  try {
    return await get(url);
  } catch (error) {
    throw new TypeError(error.message);
  }
}

const nobody = `http://127.0.0.1:${refusing}/`;
const cases = {
  direct: { get: (id) => get(`${origin}/storage/${id}`), fallback: "blob" },
  directInCloud: { get: (id) => get(`${origin}/storage/${id}`) },
  oldWording: { get: () => get(nobody), fallback: "blob" },
  oldWordingOfAName: { get: () => get(`http://localhost:${refusing}/`), fallback: "blob" },
  oldWordingOfTwoAddresses: { get: () => twoAddresses(nobody, nobody), fallback: "blob" },
  oldWordingWithoutCause: { get: () => withoutCause(nobody), fallback: "blob" },
  newWording: { get: () => reworded(nobody), fallback: "blob" },
  refusedInCloud: { get: () => reworded(nobody) },
  refusedInCloudOldWording: { get: () => get(nobody) },
  fallbackNotFound: { get: () => reworded(nobody), fallback: "404" },
  fallbackBroken: { get: () => get(nobody), fallback: "500" },
  fallbackCutOff: { get: () => get(nobody), fallback: "broken" },
  fallbackSilent: { get: () => get(nobody), fallback: "silent", timeoutMs: 200 },
  fallbackRefused: { get: () => get(nobody), url: () => nobody },
  cutOff: { get: (id) => get(`${origin}/broken/${id}`), fallback: "blob" },
  cutOffReworded: { get: (id) => reworded(`${origin}/broken/${id}`), fallback: "blob" },
  backendError: {
    get: async (id) => {
      const { status } = await fetch(`${origin}/500/${id}`);
      throw new Error(`Transient error while running storage get url: status ${status}`);
    },
    fallback: "blob",
  },
  gone: { get: async () => null, fallback: "blob" },
  thrownText: {
    get: async () => {
      throw "it's a `text` with \"quotes\"\nand 'lines'";
    },
    fallback: "blob",
  },
  thrownOddly: {
    get: async () => {
      throw { message: 17, code: 4, errors: "none" };
    },
    fallback: "blob",
  },
};

if (how === "convex") {
  for (const [method, level] of [["log", "LOG"], ["error", "ERROR"]]) {
    console[method] = (...values) => {
      const rendered = values.map((value) => inspect(value, { maxStringLength: 32768, customInspect: true })).join(" ");
      process.stdout.write(`11/23/2026, 8:27:21 AM [CONVEX A(zip:unpack)] [${level}] ${rendered}\n`);
    };
  }
}

const outcome = {};
for (const [name, { get: read, fallback, url, timeoutMs }] of Object.entries(cases)) {
  const endpoint = url ?? (fallback && ((id) => `${origin}/${fallback}/${encodeURIComponent(id)}`));
  const way = endpoint && { url: endpoint, headers: { authorization: "Bearer secret" }, timeoutMs };
  const before = asked.length;
  try {
    const blob = await readStoredBlob({ storage: { get: read } }, name, way);
    outcome[name] = { size: blob.size };
  } catch (error) {
    outcome[name] = { thrown: String(error?.message ?? error) };
  }
  outcome[name].asked = asked.slice(before);
}
writeFileSync(results, JSON.stringify(outcome));
server.closeAllConnections();
server.close();
