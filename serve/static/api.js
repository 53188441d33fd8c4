// The way from the pages to the API: the key, and errors as people can read them.

const KEY = "weilei-key"; // kept until the tab is closed

/** An answer that is not a success; the message is meant for the reader. */
export class Problem extends Error {
  constructor(problem, status) {
    super(problem.detail || problem.title || `服务没有办成（${status}）`);
    this.status = status;
  }
}

export function key() {
  return sessionStorage.getItem(KEY) || "";
}

/**
 * Fetch `path`, with the key if there is one; asks for the key when the server wants one.
 * Throws Problem when the server refuses or cannot be reached.
 */
export async function api(path, options = {}) {
  const headers = { ...options.headers, ...(key() && { "X-API-Key": key() }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new Problem({ detail: "连不上服务，请稍后再试。" }, 0);
  }
  if (response.ok) return response;
  if (response.status === 401 && (await askKey(Boolean(key())))) return api(path, options);
  const problem = await response.json().catch(() => ({}));
  throw new Problem(problem, response.status);
}

export async function json(path, options) {
  return (await api(path, options)).json();
}

let asking = null;

/** A dialog for the key; several requests share one. Resolves to whether a key was given. */
function askKey(wrong) {
  if (asking) return asking;
  asking = new Promise((resolve) => {
    const field = make("input", "", { id: "key", type: "password", autocomplete: "off" });
    const form = make("form", "", { method: "dialog" },
      make("h2", "接口钥匙", { id: "key-title" }),
      make("p", wrong ? "钥匙不对，请再输一次。" : "这个服务设了钥匙，请输入管理员发的接口钥匙。"),
      make("label", "钥匙", { htmlFor: "key" }), field,
      make("div", "", { className: "row" },
        make("button", "确定", { value: "ok" }),
        make("button", "取消", { className: "plain", value: "", formNoValidate: true })));
    const dialog = make("dialog", "", {}, form);
    dialog.setAttribute("aria-labelledby", "key-title");
    document.body.append(dialog);
    dialog.addEventListener("close", () => {
      // Other characters cannot stand in a header.
      const given = dialog.returnValue === "ok" && field.value.normalize("NFKC").replace(/[^\x21-\x7e]/g, "");
      if (given) sessionStorage.setItem(KEY, given);
      dialog.remove();
      asking = null;
      resolve(Boolean(given));
    });
    dialog.showModal();
  });
  return asking;
}

/** A new element: make("td", "行", {className: "n"}, child, …). Text never becomes HTML. */
export function make(tag, text = "", properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  if (text !== "") element.textContent = text;
  element.append(...children);
  return element;
}

export const percent = (share, digits = 1) =>
  `${(share * 100).toFixed(digits).replace(/\.0+$/, "")}%`;

export const count = (n) => n.toLocaleString("zh-CN");
