"use strict";
// Asks the server that gave this page whether the spec is as it was, and loads the page anew if not.
(() => {
  const mine = JSON.parse(document.getElementById("data").textContent).version;
  const ask = async () => {
    try {
      const answer = await fetch("/version", { cache: "no-store" });
      if (answer.ok && (await answer.text()) !== mine) { location.reload(); return; }
      document.title = document.title.replace(/^\(ended\) /, "");
    } catch { document.title = document.title.replace(/^(\(ended\) )?/, "(ended) "); }
    setTimeout(ask, 500);
  };
  setTimeout(ask, 500);
})();
