// What test_npm_webdav.py runs, in a folder that holds this file and node_modules: node npm_webdav.mjs URL
import assert from "node:assert/strict";
import { createClient } from "webdav";

const client = createClient(process.argv[2]);
// The error that an await throws holds the whole response; only its message and place are of interest.
process.on("uncaughtException", (error) => {
    console.error(error.stack);
    process.exit(1);
});
const bytes = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
const names = (found) => found.map((item) => item.filename).sort();

await client.createDirectory("/tree/größe/日本 語", { recursive: true });
assert.equal(await client.putFileContents("/tree/a b & 100% #1.bin", bytes), true);
assert.equal(await client.putFileContents("/tree/größe/日本 語/text.txt", "text 😀\n"), true);
assert.equal(await client.putFileContents("/tree/a b & 100% #1.bin", "no", { overwrite: false }), false);
assert.deepEqual(await client.getFileContents("/tree/a b & 100% #1.bin"), bytes);
assert.equal(await client.getFileContents("/tree/größe/日本 語/text.txt", { format: "text" }), "text 😀\n");

assert.deepEqual(names(await client.getDirectoryContents("/tree")), ["/tree/a b & 100% #1.bin", "/tree/größe"]);
assert.deepEqual(names(await client.getDirectoryContents("/tree", { deep: true })), [
    "/tree/a b & 100% #1.bin",
    "/tree/größe",
    "/tree/größe/日本 語",
    "/tree/größe/日本 語/text.txt",
]);
const found = await client.stat("/tree/a b & 100% #1.bin");
assert.equal(found.size, 256);
assert.equal(found.type, "file");
assert.equal((await client.stat("/tree")).type, "directory");
assert.equal(await client.exists("/tree/größe"), true);
assert.equal(await client.exists("/nowhere"), false);
await assert.rejects(client.stat("/nowhere"), { status: 404 });

await client.copyFile("/tree/a b & 100% #1.bin", "/copy.bin");
await client.copyFile("/tree/größe", "/copied");
await client.moveFile("/copy.bin", "/tree/moved.bin");
await client.moveFile("/copied", "/moved");
await assert.rejects(client.copyFile("/tree/moved.bin", "/moved", { overwrite: false }), { status: 412 });

const lock = await client.lock("/tree/moved.bin");
assert.ok(lock.token);
await assert.rejects(client.putFileContents("/tree/moved.bin", "no"), { status: 423 });
const headers = { If: `(<${lock.token}>)` };
assert.equal(await client.putFileContents("/tree/moved.bin", "0123456789", { headers }), true);
await client.unlock("/tree/moved.bin", lock.token);

await client.partialUpdateFileContents("/tree/moved.bin", 2, 4, "abc");
assert.equal(await client.getFileContents("/tree/moved.bin", { format: "text" }), "01abc56789");
await client.deleteFile("/tree/größe");
