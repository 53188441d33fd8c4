// The demo form: adds the widget as any page would, and shows what would be sent.
import { api, key, make } from "./api.js";

const NAMES = {
  title: "标题",
  text: "建议内容",
  weilei_class: "weilei_class（类别）",
  weilei_lane: "weilei_lane（通道）",
};

document.querySelector("#form").addEventListener("submit", (event) => {
  event.preventDefault();
  const sent = document.querySelector("#sent");
  sent.querySelector("dl").replaceChildren(
    ...[...new FormData(event.target)].flatMap(([name, value]) => [
      make("dt", NAMES[name] || name),
      make("dd", value || "（空）"),
    ]),
  );
  sent.hidden = false;
  sent.focus();
});

const address = new URL("widget.js", document.baseURI).href;
document.querySelector("#snippet").textContent =
  `<script src="${address}" data-target="#suggestion" defer></script>`;

// A server with keys has the page ask for one first; without an answer the form works alone.
await api("v1/taxonomy").catch(() => null);
const script = document.createElement("script");
script.src = address;
script.dataset.target = "#suggestion";
script.dataset.title = "#title";
if (key()) script.dataset.key = key();
document.body.append(script);
