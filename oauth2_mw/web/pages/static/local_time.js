// Tells each time of the page by the clock and in the language of the reader; without it UTC is said.
"use strict";

for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  const style = /^\d\d:\d\d UTC$/.test(time.textContent)
    ? { timeStyle: "short" }
    : { dateStyle: "medium", timeStyle: "short" };
  try {
    time.title = time.textContent;
    time.textContent = new Intl.DateTimeFormat(document.documentElement.lang, style).format(at);
  } catch {
    // A language or a time that this browser does not know: UTC stays.
  }
}
