// Makes the pages of products quicker where scripts run; they all work without.

// A row of the table is saved in its place.
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-row]");
  if (!form) return;
  event.preventDefault();
  const button = form.querySelector("button");
  if (button.disabled) return;
  const body = new URLSearchParams(new FormData(form));
  button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const old = document.getElementById(form.dataset.row);
    const renewed = page.getElementById(form.dataset.row);
    const wrong = renewed?.querySelector(".wrong");
    if (!page.getElementById("results")) throw new Error("another page");
    if (renewed) {
      // Its fields belong to its form by a number that may stand elsewhere on this page.
      const id = `edit-${form.dataset.row}`;
      const its = renewed.querySelector("form[data-row]").id;
      for (const field of renewed.querySelectorAll(`[form="${its}"]`)) field.setAttribute("form", id);
      renewed.querySelector("form[data-row]").id = id;
      for (const part of renewed.querySelectorAll("[aria-describedby]")) {
        const told = renewed.querySelector(`#${part.getAttribute("aria-describedby")}`);
        if (told) part.setAttribute("aria-describedby", (told.id = `${id}-${part.name}-wrong`));
      }
      const box = renewed.querySelector("[name=line]");
      if (box) box.checked = old.querySelector("[name=line]").checked;
      old.replaceWith(renewed);
      (renewed.querySelector("[aria-invalid]") ?? renewed.querySelector("form button")).focus();
    } else old.remove();
    tell(wrong ? wrong.textContent : page.querySelector("main > .told")?.textContent, wrong);
  } catch {
    button.disabled = false;
    form.submit();
  }
});

function tell(text, isBad) {
  const place = document.getElementById("row-told");
  place.hidden = false;
  place.classList.toggle("bad", Boolean(isBad));
  place.textContent = text ?? "";
}

// All rows of a page at once.
function addAll() {
  const head = document.querySelector("th[data-all]:not(:has(input))");
  if (!head) return;
  const box = document.createElement("input");
  box.type = "checkbox";
  box.setAttribute("aria-label", head.textContent);
  head.replaceChildren(box);
  box.addEventListener("change", () => {
    for (const one of document.querySelectorAll("input[name=line]")) one.checked = box.checked;
  });
}
addAll();
const results = document.getElementById("results");
if (results) new MutationObserver(addAll).observe(results, { childList: true });

// Files that are dropped, and those too large to be sent at all.
for (const place of document.querySelectorAll("[data-drop]")) {
  const input = place.querySelector("input[type=file]");
  const look = () => {
    const size = input.files[0]?.size ?? 0;
    input.setCustomValidity(size > Number(input.dataset.most) ? input.dataset.tooLarge : "");
    input.reportValidity();
  };
  input.addEventListener("change", look);
  for (const name of ["dragenter", "dragover"]) {
    place.addEventListener(name, (event) => {
      event.preventDefault();
      place.classList.add("is-over");
    });
  }
  for (const name of ["dragleave", "drop"]) {
    place.addEventListener(name, () => place.classList.remove("is-over"));
  }
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    look();
  });
}

// A job's progress, until it is over; what has changed of its state is said.
// It is asked often at first, as most files are worked off in a second or two.
const progress = document.querySelector("[data-renew]");
let pause = 100;
const renewSoon = () => {
  setTimeout(renew, pause);
  pause = Math.min(pause * 1.2, 700);
};
const renew = async () => {
  const before = progress.firstElementChild;
  if ("over" in before.dataset) return;
  try {
    const answer = await fetch(progress.dataset.renew);
    if (!answer.ok) throw new Error(answer.status);
    progress.innerHTML = await answer.text();
  } catch {
    setTimeout(renew, 5000);
    return;
  }
  const now = progress.firstElementChild;
  if (now.dataset.state !== before.dataset.state) {
    document.getElementById("said").textContent = now.querySelector("[data-say]").textContent;
  }
  renewSoon();
};
if (progress) renewSoon();
