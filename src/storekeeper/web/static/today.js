// Figures that weren't there in time come by themselves; without scripts a link leads to them.
const place = document.querySelector("[data-later]");
if (place) {
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(place.dataset.later);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const come = page.getElementById(place.id);
    if (!answer.ok || !come || come.hasAttribute("data-later")) throw new Error("no figures");
    place.removeAttribute("data-later");
    place.replaceChildren(...come.childNodes);
  } catch {
    // The link stays.
  }
  place.removeAttribute("aria-busy");
}
