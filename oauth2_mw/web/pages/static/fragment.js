// Hands what stands behind "#" in the address, which browsers send to no server, on to the sign-in.
"use strict";

(() => {
  const hash = location.hash.slice(1);
  // A longer one is lost there, and a server may take no address of that length.
  const fragment = hash.length <= 1024 ? hash : "";
  for (const link of document.querySelectorAll("a[data-sign-in]")) {
    const url = new URL(link.href);
    if (fragment && url.origin === location.origin) {
      url.searchParams.set("fragment", fragment);
      link.href = url.href;
    }
    if (link.dataset.signIn === "now") {
      location.replace(link.href);
    }
  }
})();
