// The link of `jevons dashboard` has its token behind the #, which no server's log and no referrer sees.
"use strict";
(async () => {
  const token = location.hash.slice(1), here = location.pathname;
  const go = where => location.replace(where);
  const home = here.replace(/\/login$/, "/") + (here.endsWith("/login") ? "" : location.search);
  if (token) {
    history.replaceState(null, "", here);
    const answer = await fetch(document.body.dataset.login, { method: "POST", body: new URLSearchParams({ token }) });
    if (answer.ok) go(home);
    else document.getElementById("problem").textContent = "That link was used already, or is too old. `jevons dashboard` prints a new one.";
  } else if (!document.referrer.startsWith(location.origin)) {
    // Another site's link leads here without our cookie; asked from our own page, the session may be there.
    const answer = await fetch(document.body.dataset.session, { headers: { "hx-request": "true" } });
    if (answer.status === 204) go(home);
  }
})();
