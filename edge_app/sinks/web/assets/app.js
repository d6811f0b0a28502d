// Keeps the status page fresh. Without it the page loads itself again every five seconds.
//
// The rule above all: what is old must never look like "all clear". When the kiosk has not
// answered for a while the page says so, and when this script dies the style sheet does.
"use strict";

(() => {
  const POLL_MS = 1000;
  const TIMEOUT_MS = 3000; // for one answer
  const PATIENCE_MS = 5000; // without any answer
  const PICTURE_MS = 500;
  const LOST = {
    heading: "No connection to the kiosk",
    reason: "This page does not know what the light shows.",
    advice: "Look at the light itself.",
  };

  const light = document.getElementById("light");
  const announcement = document.getElementById("announcement");
  const troubles = document.getElementById("troubles");
  const events = document.getElementById("events");
  const noPicture = document.getElementById("no-picture");
  let picture = document.getElementById("picture");
  let heard = Date.now();
  let shownEvents = "";

  function fill(texts, levels) {
    for (const field of document.querySelectorAll("[data-text]")) {
      const nothing = field.classList.contains("note") ? "" : "–";
      const text = texts[field.dataset.text] ?? nothing;
      if (field.textContent !== text) field.textContent = text;
      if ("level" in field.dataset) field.dataset.level = levels[field.dataset.text] ?? "";
    }
    document.title = `${texts.heading} – Mask kiosk`;
  }

  function show(signal, texts, levels) {
    fill(texts, levels);
    if (light.dataset.signal === signal) return;
    light.dataset.signal = signal;
    announcement.textContent = `${texts.heading}. ${texts.reason}`;
  }

  function showPicture(there) {
    if (picture === null) return;
    picture.hidden = !there;
    noPicture.hidden = there;
  }

  function showTroubles(lines) {
    troubles.hidden = lines.length === 0;
    troubles.querySelector("ul").replaceChildren(...lines.map((line) => element("li", line)));
  }

  function showEvents(rows) {
    const now = JSON.stringify(rows);
    if (now === shownEvents) return;
    shownEvents = now;
    events.hidden = rows.length === 0;
    events.tBodies[0].replaceChildren(...rows.map(eventRow));
  }

  function eventRow(event) {
    const row = element("tr");
    row.dataset.signal = event.signal;
    const time = element("time", event.time);
    time.dateTime = event.begin;
    const when = element("td");
    when.append(time);
    const what = element("th");
    what.scope = "row";
    const mark = element("span");
    mark.className = "mark";
    mark.ariaHidden = "true";
    what.append(mark, event.heading);
    row.append(when, what, element("td", event.duration), element("td", String(event.people)));
    return row;
  }

  function element(name, text = "") {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }

  async function poll() {
    try {
      const answer = await fetch("/api/status.json", {
        cache: "no-store",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (answer.status === 401) {
        location.assign("/login");
        return;
      }
      if (answer.ok) {
        const view = await answer.json();
        heard = Date.now();
        show(view.signal, view.text, view.levels);
        showPicture(view.picture);
        showTroubles(view.troubles);
        showEvents(view.events);
      }
    } catch {
      // No answer: look() says so when it lasts.
    }
    setTimeout(poll, POLL_MS);
  }

  function look() {
    // Shows that this script lives: starts the style sheet's countdown again.
    light.dataset.beat = light.dataset.beat === "a" ? "b" : "a";
    const age = Date.now() - heard;
    if (age >= 0 && age <= PATIENCE_MS) return; // below 0: the clock was set back
    show("LOST", LOST, {});
    showPicture(false);
  }

  function nextPicture(number) {
    const again = () => setTimeout(nextPicture, PICTURE_MS, number + 1);
    if (document.hidden || picture.hidden) {
      again();
      return;
    }
    const next = picture.cloneNode();
    next.addEventListener("load", () => {
      next.hidden = picture.hidden;
      picture.replaceWith(next);
      picture = next;
      again();
    });
    next.addEventListener("error", again);
    next.src = `/preview.jpg?${number}`;
  }

  poll();
  look();
  setInterval(look, POLL_MS);
  document.addEventListener("visibilitychange", look);
  if (picture !== null) nextPicture(1);
})();
