// How an application calls the helper, with the types that the package `convex` gives it. It is compiled, not run.
import { internalActionGeneric } from "convex/server";
import { v } from "convex/values";
import { readStoredBlob } from "./storage";

export const inCloud = internalActionGeneric({
  args: { storageId: v.id("_storage") },
  handler: async (ctx, { storageId }) => (await readStoredBlob(ctx, storageId)).size,
});

export const selfHosted = internalActionGeneric({
  args: { storageId: v.id("_storage") },
  handler: async (ctx, { storageId }) => {
    const blob: Blob = await readStoredBlob(ctx, storageId, {
      url: (id) => `http://127.0.0.1:3211/blob?id=${encodeURIComponent(id)}`,
      headers: { authorization: "Bearer secret" },
      timeoutMs: 1000,
    });
    // @ts-expect-error An id of another table is not taken.
    await readStoredBlob(ctx, "kg2" as unknown as import("convex/values").GenericId<"users">);
    return blob.size;
  },
});
