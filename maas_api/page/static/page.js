// What the page does better with a script. Everything but copying and the one-time link works without.
"use strict";

// A sign-in link's code stands behind the #, which no browser sends anywhere. It is used once and taken out of the address.
const code = /^#code=([\w-]+)$/.exec(location.hash);
if (code) history.replaceState(null, "", location.pathname + location.search);

document.addEventListener("DOMContentLoaded", () => {
  const entrance = document.getElementById("sign-in");
  if (entrance && code) {
    entrance.elements.code.value = code[1];
    entrance.elements.token.required = false;
    entrance.requestSubmit();
  }
  const alert = document.querySelector(".alert[role=alert]");
  if (alert) alert.focus();

  // A secret that was shown is gone as soon as one looks elsewhere, and reloading does not send the form again.
  const once = document.querySelector("[data-once]");
  if (once) {
    history.replaceState(null, "", location.href);
    addEventListener("pagehide", () => { document.getElementById("secret").textContent = ""; });
  }

  // Ticking a model, or writing one, says "only these".
  const some = document.querySelector("input[name=scope][value=some]");
  if (some) {
    for (const part of document.querySelectorAll("input[name=model], #patterns")) {
      part.addEventListener("input", () => { some.checked = true; });
    }
  }
});

addEventListener("pageshow", (event) => {
  if (event.persisted && document.querySelector("[data-once]")) location.reload();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  const said = document.getElementById("copied");
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
    if (said) said.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; if (said) said.textContent = ""; }, 2000);
  } catch {
    getSelection().selectAllChildren(source);
    if (said) said.textContent = "It is marked: copy it with your keyboard";
  }
});
