/**
 * Reads a stored blob in a Node action: directly, and where that connection is refused, through an HTTP endpoint of the
 * same backend. Each read logs one message, with what storagewatch reads out of it.
 *
 * Copy this file into your `convex/` folder. It needs nothing but the package `convex`, and of that only types.
 */
import type { StorageActionWriter } from "convex/server";
import type { GenericId } from "convex/values";

/** Where a blob is read when the direct way is refused. */
export interface Fallback {
  /** The address that serves one blob, as `${process.env.CONVEX_SITE_URL}/blob?id=${encodeURIComponent(id)}`. */
  url: (storageId: string) => string;
  /** What the endpoint wants to see, such as a shared secret: whoever can reach it can read blobs. */
  headers?: Record<string, string>;
  /** How long the whole answer may take; 30 seconds unless told. */
  timeoutMs?: number;
}

type Outcome = "direct" | "http-fallback" | "direct-failed";

/**
 * Reads one blob. Without a `fallback`, as in Convex Cloud, a refused connection is a failure like any other.
 * Whatever is logged as `direct-failed` is thrown, too.
 */
export async function readStoredBlob(
  ctx: { storage: Pick<StorageActionWriter, "get"> },
  storageId: GenericId<"_storage">,
  fallback?: Fallback,
): Promise<Blob> {
  const began = Date.now();
  const report = (outcome: Outcome, more: Record<string, unknown>) =>
    log(outcome, { storageId, ...more, durationMs: Date.now() - began });
  let refused: unknown;
  try {
    const blob = await ctx.storage.get(storageId);
    if (blob === null) {
      throw new Error("the blob was not found in storage");
    }
    report("direct", { size: blob.size });
    return blob;
  } catch (error) {
    if (fallback === undefined || !isRefused(error)) {
      report("direct-failed", { error: textOf(error), cause: causeOf(error) });
      throw error;
    }
    refused = error;
  }
  // What went wrong first goes along as the reason: error and cause are those of the attempt that decided.
  const reason = [textOf(refused), causeOf(refused)].filter(Boolean).join(": ");
  try {
    const blob = await fetchBlob(storageId, fallback);
    report("http-fallback", { size: blob.size, reason });
    return blob;
  } catch (error) {
    report("direct-failed", { error: textOf(error), cause: causeOf(error), reason });
    throw error;
  }
}

async function fetchBlob(storageId: string, fallback: Fallback): Promise<Blob> {
  const response = await fetch(fallback.url(storageId), {
    headers: fallback.headers ?? {},
    signal: AbortSignal.timeout(fallback.timeoutMs ?? 30_000),
  });
  if (!response.ok) {
    throw new Error(`the fallback answered with HTTP status ${response.status}`);
  }
  return await response.blob();
}

/**
 * Whether nobody listened. Until July 2026 the error was that of Node's own `fetch`, with the code in its cause. Since
 * then the backend tries five times and says so itself, with the code in its message; its cause is a bare `fetch failed`.
 */
export function isRefused(error: unknown): boolean {
  if (chainOf(error).some((link) => link.code === "ECONNREFUSED" || String(link.message ?? "").includes("ECONNREFUSED"))) {
    return true;
  }
  // The old error without its cause. With another cause, such as a name that is not found, it is no refusal.
  const { message, cause } = (error ?? {}) as Link;
  return message === "fetch failed" && cause === undefined;
}

/** Whatever is thrown: not every error is an `Error`, and not every message a text. */
interface Link {
  message?: unknown;
  code?: unknown;
  cause?: unknown;
  /** Of an AggregateError: a name with two addresses fails once for each. */
  errors?: unknown;
}

/** An error, what caused it, and what caused that; bounded, since a cause may lead back. */
function chainOf(error: unknown, depth = 0): Link[] {
  if (typeof error !== "object" || error === null || depth > 8) {
    return [];
  }
  const link = error as Link;
  const below = [link.cause, ...(Array.isArray(link.errors) ? link.errors.slice(0, 8) : [])];
  return [link, ...below.flatMap((next) => chainOf(next, depth + 1))];
}

/** What an error says; of one that says nothing, its code. */
function textOf(error: unknown): string {
  if (typeof error !== "object" || error === null) {
    return String(error);
  }
  const { message, code } = error as Link;
  return String(message || code || error);
}

/** What the error's cause says, and nothing where there is none. */
function causeOf(error: unknown): string | undefined {
  const cause = typeof error === "object" && error !== null ? (error as Link).cause : undefined;
  return cause === undefined ? undefined : textOf(cause);
}

/** One argument of JSON: it has a time of its own, and stays one line wherever it is printed. */
function log(outcome: Outcome, metadata: Record<string, unknown>): void {
  const failed = outcome === "direct-failed";
  const line = JSON.stringify({
    timestamp: new Date().toISOString(),
    level: failed ? "error" : "info",
    topic: "STORAGE",
    context: "storage.readStoredBlob",
    message: ["Storage access:", outcome].join(" "),
    metadata,
  });
  if (failed) {
    console.error(line);
  } else {
    console.log(line);
  }
}
