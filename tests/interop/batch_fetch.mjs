// What test_batch_clients.py runs: node batch_fetch.mjs URL COUNT form|stream
// Prints the report as the client received it.
import { once } from "node:events";

const [url, count, kind] = process.argv.slice(2);
const names = Array.from({ length: Number(count) }, (_, number) => `${String(number).padStart(5, "0")}.bin`);
const contents = (name) => name.padEnd(100, ".");

function form() {
    const body = new FormData();
    for (const name of names) body.append("files", new Blob([contents(name)]), name);
    return { body };
}

async function* parts() {
    for (const name of names) {
        yield Buffer.from(
            `--node\r\nContent-Disposition: form-data; name="files"; filename="${name}"\r\n\r\n${contents(name)}\r\n`,
        );
    }
    yield Buffer.from("--node--\r\n");
}

function stream() {
    const headers = { "Content-Type": "multipart/form-data; boundary=node" };
    return { body: ReadableStream.from(parts()), duplex: "half", headers };
}

const response = await fetch(url, { method: "POST", ...(kind === "form" ? form() : stream()) });
if (response.status !== 207) throw new Error(`${response.status} ${await response.text()}`);
for await (const piece of response.body) {
    if (!process.stdout.write(piece)) await once(process.stdout, "drain");
}
