// Scans are sent one after the other while the next is read; none is lost and none counts twice.

const form = document.getElementById("scan");
const told = document.getElementById("scan-told");
const failed = document.getElementById("scan-failed");
const waiting = [];
let busy = false;

const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// What was scanned stands in the table too, unless somebody is typing there.
function show({ sku, counted, difference, state }) {
  const [field] = document.getElementsByName(`count:${sku}`);
  const [was] = document.getElementsByName(`was:${sku}`);
  if (!field || field.value !== was.value) return;
  field.value = was.value = counted;
  const [, , , differs, status] = field.closest("tr").cells;
  if (status.querySelector("button")) return;
  differs.textContent = difference;
  status.textContent = state;
}

// By the stock take, so that nothing is counted in another one.
const place = `scans:${form?.action}`;
const keep = () => sessionStorage.setItem(place, JSON.stringify(waiting.map(String)));
function takeUp() {
  const token = form.elements.csrf.value;
  for (const text of JSON.parse(sessionStorage.getItem(place) ?? "[]")) {
    const values = new URLSearchParams(text);
    values.set("csrf", token);
    waiting.push(values);
  }
  sessionStorage.removeItem(place);
  if (waiting.length) sendAll();
}

async function sendAll() {
  if (busy) return;
  busy = true;
  while (waiting.length) {
    try {
      const answer = await fetch(form.action, { method: "POST", body: waiting[0] });
      if (answer.redirected || answer.status === 401) {
        // The session is over. They wait in this tab until somebody has logged in again.
        keep();
        waiting.length = 0;
        location.reload();
        return;
      }
      if (answer.ok || answer.status === 422) {
        const text = await answer.text();
        // What wasn't counted stays to be read, however quickly the next scan comes.
        if (answer.ok) {
          told.innerHTML = text;
          show(told.querySelector("[data-sku]").dataset);
        }
        else failed.insertAdjacentHTML("afterbegin", text);
        waiting.shift();
        if (!waiting.length && !answer.ok) told.textContent = "";
        continue;
      }
    } catch {
      // The network is away; the scan is sent again, under the same key.
    }
    told.textContent = form.dataset.waiting.replace("{count}", waiting.length);
    await pause(2000);
  }
  busy = false;
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const values = new URLSearchParams(new FormData(form));
  if (!values.get("code").trim()) return;
  values.set("key", newKey());
  values.set("part", "1");
  waiting.push(values);
  form.elements.code.value = "";
  form.elements.units.value = "1";
  form.elements.code.focus();
  sendAll();
});
if (form) takeUp();
if (!document.querySelector("[role=alert]")) form?.elements.code.focus();
addEventListener("beforeunload", (event) => {
  if (waiting.length) event.preventDefault();
});
