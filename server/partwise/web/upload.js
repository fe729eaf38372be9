"use strict";
// The form works without this. Files dropped on the page are sent by the same form.
const form = document.querySelector(".upload form");
const [files, folder] = form.querySelectorAll("input[type=file]");
const action = form.getAttribute("action");
const note = form.querySelector("[role=status]");

function isDirectory(item) {
  const entry = item.webkitGetAsEntry?.();
  return Boolean(entry && entry.isDirectory);
}

function carriesFiles(event) {
  return event.dataTransfer !== null && event.dataTransfer.types.includes("Files");
}

function mark(dropping) {
  document.body.classList.toggle("dropping", dropping);
}

document.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  mark(true);
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) mark(false);
});
document.addEventListener("drop", (event) => {
  mark(false);
  if (!carriesFiles(event)) return;
  event.preventDefault();
  form.parentElement.open = true;
  if (Array.from(event.dataTransfer.items).some(isDirectory)) {
    note.textContent = "A folder cannot be dropped here; choose it with “A whole folder” instead.";
    return;
  }
  files.files = event.dataTransfer.files;
  folder.value = "";
  form.requestSubmit();
});

// While the browser still sends, what has become of the first files is read on a second connection.
function follow(batch, uploading, tries) {
  const source = new EventSource(form.dataset.batches + batch);
  let stored = 0;
  let failed = 0;
  source.addEventListener("item", (event) => {
    if (JSON.parse(event.data).error) failed += 1;
    else stored += 1;
    note.textContent = `${uploading} ${stored} good, ${failed} not.`;
  });
  source.addEventListener("summary", () => source.close());
  source.addEventListener("error", () => {
    source.close();
    // It has not begun yet.
    if (stored + failed === 0 && tries > 0) setTimeout(follow, 500, batch, uploading, tries - 1);
  });
}

function newName() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return "web-" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

form.addEventListener("submit", (event) => {
  const count = files.files.length + folder.files.length;
  if (count === 0) {
    event.preventDefault();
    note.textContent = "Choose at least one file first.";
    return;
  }
  note.textContent = count === 1 ? "Uploading 1 file…" : `Uploading ${count} files…`;
  const batch = newName();
  form.action = `${action}?batch=${batch}`;
  follow(batch, note.textContent, 20);
});
// A page brought back by the back button would still say that it uploads.
window.addEventListener("pageshow", () => { note.textContent = ""; });
