// Follows the book: parts of the page that may change are taken anew from the server, unless
// somebody is at work in them or has text selected.
"use strict";
(() => {
  if (!document.querySelector("[data-live]") || !("EventSource" in window)) return;
  const source = new EventSource("/console/changes");
  let busy = false;
  source.addEventListener("change", async () => {
    if (busy || document.hidden || !getSelection().isCollapsed) return;
    busy = true;
    try {
      const answer = await fetch(location.href);
      if (!answer.ok || answer.redirected) return source.close();
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(part.id);
        // What somebody unfolded stays so.
        if (part.querySelector("details")?.open) fresh?.querySelector("details")?.setAttribute("open", "");
        if (fresh && !part.contains(document.activeElement) && fresh.innerHTML !== part.innerHTML) part.replaceWith(fresh);
      }
    } finally {
      busy = false;
    }
  });
})();
