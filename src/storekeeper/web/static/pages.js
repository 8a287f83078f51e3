// Makes pages quicker where scripts run; nothing here is needed for any of them to work.

// Results that follow what is typed: the form with data-live names the part of the page to renew.
for (const form of document.querySelectorAll("form[data-live]")) {
  const target = document.getElementById(form.dataset.live);
  let waiting = 0;
  let asked = null;
  const ask = async () => {
    asked?.abort();
    asked = new AbortController();
    const values = new URLSearchParams(new FormData(form));
    const address = `${form.action}?${values}`;
    values.set("part", "1");
    try {
      const answer = await fetch(`${form.action}?${values}`, { signal: asked.signal });
      if (answer.ok || answer.status === 422) {
        target.innerHTML = await answer.text();
        history.replaceState(null, "", address);
      }
    } catch (error) {
      if (error.name !== "AbortError") form.submit();
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, 200);
  });
}

// What is folded away on a phone stands open where there is room.
if (matchMedia("(min-width: 48.01rem)").matches) {
  for (const part of document.querySelectorAll("details[data-roomy]")) part.open = true;
}

// The time that a reservation has left.
for (const place of document.querySelectorAll("[data-seconds]")) {
  const end = performance.now() + Number(place.dataset.seconds) * 1000;
  const show = () => {
    const left = Math.max(0, Math.round((end - performance.now()) / 1000));
    const seconds = String(left % 60).padStart(2, "0");
    place.textContent = left ? `${Math.floor(left / 60)}:${seconds}` : place.dataset.over;
    if (left) setTimeout(show, 1000);
    else location.reload();
  };
  if (Number(place.dataset.seconds) > 0) show();
}

// What is wrong is where a reader begins.
document.querySelector("[role=alert]")?.setAttribute("tabindex", "-1");
document.querySelector("[role=alert]")?.focus();
