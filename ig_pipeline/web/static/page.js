/* Makes pages better, never possible: they all work without it.
   1. Parts that move are fetched again every second and a half until they rest.
   2. A chart shows the day under the pointer, or under the arrow keys. */
"use strict";

const WAIT = 1500;

function follow(box) {
  if (box.dataset.moving !== "1") return;
  let failures = 0;
  const again = () => setTimeout(ask, WAIT * Math.min(2 ** failures, 20));
  async function ask() {
    if (document.hidden) return again();
    try {
      const answer = await fetch(box.dataset.live, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (answer.status === 401 || answer.status === 404) return location.reload();
      if (!answer.ok) throw new Error(answer.status);
      replace(box, await answer.text());
      failures = 0;
    } catch {
      failures += 1;
    }
    if (box.dataset.moving === "1") again();
  }
  again();
}

function replace(box, text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("[data-part]");
  const old = box.querySelector("[data-part]");
  if (!fresh || !old) return;
  box.dataset.moving = fresh.dataset.moving;
  if (fresh.outerHTML === old.dataset.source) return;
  const open = [...old.querySelectorAll("details")].map((item) => item.open);
  const source = fresh.outerHTML;
  old.replaceWith(fresh);
  fresh.dataset.source = source;
  fresh.querySelectorAll("details").forEach((item, index) => { item.open = Boolean(open[index]); });
  fresh.querySelectorAll("[data-chart]").forEach(hover);
}

function hover(chart) {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  chart.append(tip);
  for (const svg of chart.querySelectorAll("svg")) {
    const hits = [...svg.querySelectorAll(".hit")];
    if (!hits.length) continue;
    // Our own label replaces the browser's slow one.
    hits.forEach((hit) => hit.querySelector("title")?.remove());
    svg.setAttribute("tabindex", "0");
    let current = -1;
    const show = (index) => {
      hits[current]?.classList.remove("on");
      current = Math.max(0, Math.min(hits.length - 1, index));
      const hit = hits[current];
      hit.classList.add("on");
      const day = document.createElement("span");
      day.textContent = hit.dataset.day;
      const value = document.createElement("strong");
      value.textContent = hit.dataset.value;
      tip.replaceChildren(value, day);
      tip.hidden = false;
      const frame = chart.getBoundingClientRect();
      const place = hit.getBoundingClientRect();
      const half = tip.offsetWidth / 2;
      const x = place.left + place.width / 2 - frame.left;
      tip.style.left = `${Math.max(half + 8, Math.min(frame.width - half - 8, x))}px`;
      tip.style.top = `${place.top - frame.top}px`;
    };
    const hide = () => {
      hits[current]?.classList.remove("on");
      current = -1;
      tip.hidden = true;
    };
    hits.forEach((hit, index) => hit.addEventListener("pointerenter", () => show(index)));
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(current < 0 ? hits.length - 1 : current + step);
    });
  }
}

document.querySelectorAll("[data-chart]").forEach(hover);
document.querySelectorAll("[data-live]").forEach(follow);

/* Both of Meta's logins append this to the address they send people back to. */
if (/^#_(=_)?$/.test(location.hash)) history.replaceState(null, "", location.pathname + location.search);
