/** Runs tasks (Connect over fetch) and keeps files (REST) at a node from a page of another origin. The address may say which: ?rpc=…&rest=… */
import { connectWeb } from "../../client/web.ts";

const place = new URLSearchParams(location.search);
const client = connectWeb({
  url: place.get("rpc") ?? "http://127.0.0.1:8081",
  restUrl: place.get("rest") ?? "http://127.0.0.1:3000",
});
const answer = document.querySelector("#answer")!;

function onSubmit(id: string, work: (form: FormData) => Promise<string>): void {
  const form = document.querySelector<HTMLFormElement>(id)!;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.textContent = "…";
    try {
      answer.textContent = await work(new FormData(form));
    } catch (error) {
      answer.textContent = String(error);
    }
  });
}

onSubmit(
  "#task",
  async (form) => (await client.tasks.run(String(form.get("input")))).text(),
);

onSubmit("#file", async (form) => {
  const file = form.get("file") as File;
  const stored = await client.files.put(
    file.name,
    new Uint8Array(await file.arrayBuffer()),
    {
      contentType: file.type,
      allowFewer: true,
    },
  );
  const content = await client.files.get(stored.name);
  return `${stored.name}: ${content.length} bytes, SHA-256 ${stored.sha256}`;
});
