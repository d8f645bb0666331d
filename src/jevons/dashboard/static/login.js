// The link of `jevons dashboard` has its token behind the #, which no server's log and no referrer sees.
"use strict";
(() => {
  const here = location.pathname;
  const home = here.endsWith("/login") ? here.replace(/login$/, "") : here + location.search;
  const isLink = () => /^#[0-9a-f]+(\.[0-9a-f]+){2}$/.test(location.hash);  // else it is a place on the page

  async function useLink() {
    const token = location.hash.slice(1);
    history.replaceState(null, "", here);
    const answer = await fetch(document.body.dataset.login, { method: "POST", body: new URLSearchParams({ token }) });
    if (answer.ok) location.replace(home);
    else document.getElementById("problem").textContent = "That link was used already, or is too old. `jevons dashboard` prints a new one.";
  }

  async function lookAgain() {
    // Another site's link leads here without our cookie; asked from our own page, the session may be there.
    const answer = await fetch(document.body.dataset.session, { headers: { "hx-request": "true" } });
    if (answer.status === 204) location.replace(home);
  }

  if (isLink()) useLink();
  else if (!document.referrer.startsWith(location.origin)) lookAgain();
  addEventListener("hashchange", () => { if (isLink()) useLink(); });
})();
