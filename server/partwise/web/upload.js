"use strict";
// The form works without this. Files dropped on the page are sent by the same form.
const form = document.querySelector(".upload form");
const [files, folder] = form.querySelectorAll("input[type=file]");
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

form.addEventListener("submit", (event) => {
  const count = files.files.length + folder.files.length;
  if (count === 0) {
    event.preventDefault();
    note.textContent = "Choose at least one file first.";
    return;
  }
  note.textContent = count === 1 ? "Uploading 1 file…" : `Uploading ${count} files…`;
});
// A page brought back by the back button would still say that it uploads.
window.addEventListener("pageshow", () => { note.textContent = ""; });
